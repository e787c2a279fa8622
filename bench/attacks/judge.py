"""What an attack did: files outside of the product's folders, and secrets that became readable."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MARK = "canary of root's"
"""What the canaries hold, and nobody but root may read."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a file without reading it."""

    kind: int
    inode: int
    mode: int
    owner: str
    links: int
    size: int
    read: int
    """When it was read, on a file system that notes each time (``strictatime``)."""
    written: int
    changed: int


def prepare(root: Path) -> dict[str, Facts]:
    """Mark *root* and all below it as never read, and return its facts."""
    paths = _paths(root)
    for path in paths:
        there = os.lstat(path)
        os.utime(path, ns=(1, there.st_mtime_ns), follow_symlinks=False)
    return {path: _facts(path) for path in paths}


def look(root: Path) -> dict[str, Facts]:
    """Return the facts of *root* and all below it, by path. A look reads the folders."""
    return {path: _facts(path) for path in _paths(root)}


def _paths(root: Path) -> list[str]:
    paths = [str(root)]
    for folder, folders, files in os.walk(root):
        paths += [f"{folder}/{name}" for name in [*folders, *files]]
    return sorted(paths)


def _facts(path: str) -> Facts:
    there = os.lstat(path)
    return Facts(
        kind=stat.S_IFMT(there.st_mode),
        inode=there.st_ino,
        mode=stat.S_IMODE(there.st_mode),
        owner=f"{there.st_uid}:{there.st_gid}",
        links=there.st_nlink,
        size=there.st_size,
        read=there.st_atime_ns,
        written=there.st_mtime_ns,
        changed=there.st_ctime_ns,
    )


def times_of_reading(before: Mapping[str, Facts]) -> dict[str, int]:
    """Return when each path of *before* was read last, before anybody looks again."""
    found = {}
    for path in before:
        try:
            found[path] = os.lstat(path).st_atime_ns
        except FileNotFoundError:
            continue
    return found


def effects(
    before: Mapping[str, Facts], read: Mapping[str, int], after: Mapping[str, Facts]
) -> list[str]:
    """Return what has happened to the files of *before*: a sentence each, without times."""
    said = [f"deleted {path}" for path in before if path not in after]
    said += [f"created {path}" for path in after if path not in before]
    for path, was in before.items():
        now = after.get(path)
        if now is None:
            continue
        if now.owner != was.owner:
            said.append(f"owner {was.owner} to {now.owner} {path}")
        if now.mode != was.mode:
            said.append(f"mode {was.mode:04o} to {now.mode:04o} {path}")
        if (now.kind, now.inode) != (was.kind, was.inode):
            said.append(f"replaced {path}")
        elif stat.S_ISREG(was.kind):
            said += _of_a_file(path, was, now)
        if read.get(path, was.read) != was.read:
            said.append(f"read {path}")
    return sorted(set(said))


def _of_a_file(path: str, was: Facts, now: Facts) -> Iterator[str]:
    if (now.size, now.written) != (was.size, was.written):
        yield f"written {path}"
    if now.links != was.links:
        yield f"linked {path}"
    attributes = (now.owner, now.mode, now.links, now.written)
    if now.changed != was.changed and attributes == (was.owner, was.mode, was.links, was.written):
        yield f"attributes {path}"


def make_canaries(root: Path, names: Iterable[str]) -> None:
    """
    Make files of root's below *root*: ``file``, ``folder`` with *names* in it, and ``absent``.

    ``absent`` is a folder without files, for links whose target does not exist.
    """
    root.mkdir(mode=0o755)
    (root / "absent").mkdir(mode=0o755)
    folder = root / "folder"
    folder.mkdir(mode=0o755)
    secret(root / "file")
    for name in sorted(set(names)):
        # A name that is a folder to the script is one here, with files of its own.
        place = folder / name
        if name in {"config", "data", "health", "canary", "tls"}:
            place.mkdir(mode=0o755)
            for inner in ("mosquitto.db", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub"):
                secret(place / inner)
        else:
            secret(place)


def secret(path: Path) -> None:
    path.write_text(f"{MARK}: {path.name}\n", encoding="utf-8")
    path.chmod(0o600)


_SCAN = """
import os, sys
uid, gid = int(sys.argv[1]), int(sys.argv[2])
marks = [line.encode() for line in sys.stdin.read().splitlines()]
os.setgroups([]); os.setgid(gid); os.setuid(uid)
for root in sys.argv[3:]:
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                with open(fd, "rb") as file:
                    text = file.read(4_000_000)
            except OSError:
                continue  # it has become a folder
            for index, mark in enumerate(marks):
                if mark in text:
                    print(index, path)
            if text.startswith(b"\\x1f\\x8b") and path.endswith(".tar.gz"):
                print(-1, path)
"""


def scan_argv(uid: int, gid: int, roots: Iterable[Path]) -> list[str]:
    """
    Return the argv of a process with that user's rights that looks for secrets.

    The secrets are its stdin, one a line; it prints ``INDEX PATH`` for each that it can read, -1
    being an archive.
    """
    return [sys.executable, "-I", "-c", _SCAN, str(uid), str(gid), *map(str, roots)]


def leaks(printed: str) -> set[tuple[int, str]]:
    """Return which secret was readable where, from the output of ``scan_argv``."""
    pairs = (line.partition(" ") for line in printed.splitlines())
    return {(int(index), path) for index, _, path in pairs}
