"""Record the names that any process uses in a folder, with inotify(7)."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

OPEN, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x20, 0x40, 0x80, 0x100, 0x200
ATTRIBUTES, IS_FOLDER = 0x4, 0x40000000
ALL = OPEN | MOVED_FROM | MOVED_TO | CREATE | DELETE | ATTRIBUTES
_HEAD = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def watched(folders: Iterable[Path]) -> Iterator[set[str]]:
    """Yield a set that contains, after the block, all paths that were used below *folders*."""
    used: set[str] = set()
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    watches: dict[int, str] = {}
    for folder in folders:
        _watch(fd, str(folder), watches)
    ended = threading.Event()
    thread = threading.Thread(target=_listen, args=(fd, watches, used, ended))
    thread.start()
    try:
        yield used
    finally:
        ended.set()
        thread.join()
        os.close(fd)


def _watch(fd: int, folder: str, watches: dict[int, str]) -> None:
    watch = _libc.inotify_add_watch(fd, os.fsencode(folder), ALL)
    if watch < 0:
        return
    watches[watch] = folder
    try:
        subfolders = [
            entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return
    for path in subfolders:
        _watch(fd, path, watches)


def _listen(fd: int, watches: dict[int, str], used: set[str], ended: threading.Event) -> None:
    last = False
    while not last:
        last = ended.is_set()
        if not select.select([fd], [], [], 0 if last else 0.05)[0]:
            continue
        text = os.read(fd, 65536)
        while text:
            watch, mask, _, length = _HEAD.unpack_from(text)
            name = os.fsdecode(text[_HEAD.size : _HEAD.size + length].rstrip(b"\0"))
            text = text[_HEAD.size + length :]
            if not name or watch not in watches:
                continue
            path = f"{watches[watch]}/{name}"
            used.add(path)
            if mask & IS_FOLDER and mask & (CREATE | MOVED_TO):
                # Names created in it before the watch are listed; their uses may be missed.
                _watch(fd, path, watches)
                used.update(_below(path))


def _below(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            yield f"{place}/{name}"
