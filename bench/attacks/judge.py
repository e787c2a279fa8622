"""The effects of an attack: changed files outside of the product's folders, readable secrets."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MARK = "canary of root's"
"""The content of the canaries, which only root may read."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The metadata of a file."""

    kind: int
    inode: int
    mode: int
    owner: str
    links: int
    size: int
    read: int
    """The access time, on a file system that updates it on every read (``strictatime``)."""
    written: int
    changed: int


def prepare(root: Path) -> dict[str, Facts]:
    """Reset the access times of *root* and everything below it, and return the facts by path."""
    paths = _paths(root)
    for path in paths:
        status = os.lstat(path)
        os.utime(path, ns=(1, status.st_mtime_ns), follow_symlinks=False)
    return {path: _facts(path) for path in paths}


def look(root: Path) -> dict[str, Facts]:
    """Return the facts of *root* and everything below it, by path; this reads the folders."""
    return {path: _facts(path) for path in _paths(root)}


def _paths(root: Path) -> list[str]:
    paths = [str(root)]
    for folder, folders, files in os.walk(root):
        paths += [f"{folder}/{name}" for name in [*folders, *files]]
    return sorted(paths)


def _facts(path: str) -> Facts:
    status = os.lstat(path)
    return Facts(
        kind=stat.S_IFMT(status.st_mode),
        inode=status.st_ino,
        mode=stat.S_IMODE(status.st_mode),
        owner=f"{status.st_uid}:{status.st_gid}",
        links=status.st_nlink,
        size=status.st_size,
        read=status.st_atime_ns,
        written=status.st_mtime_ns,
        changed=status.st_ctime_ns,
    )


def times_of_reading(before: Mapping[str, Facts]) -> dict[str, int]:
    """Return the access times of the paths in *before*; call it before ``look``."""
    times = {}
    for path in before:
        try:
            times[path] = os.lstat(path).st_atime_ns
        except FileNotFoundError:
            continue
    return times


def effects(
    before: Mapping[str, Facts], read: Mapping[str, int], after: Mapping[str, Facts]
) -> list[str]:
    """Return a description of every effect on the files of *before*, without times."""
    found = [f"deleted {path}" for path in before if path not in after]
    found += [f"created {path}" for path in after if path not in before]
    for path, was in before.items():
        now = after.get(path)
        if now is None:
            continue
        if now.owner != was.owner:
            found.append(f"owner {was.owner} to {now.owner} {path}")
        if now.mode != was.mode:
            found.append(f"mode {was.mode:04o} to {now.mode:04o} {path}")
        if (now.kind, now.inode) != (was.kind, was.inode):
            found.append(f"replaced {path}")
        elif stat.S_ISREG(was.kind):
            found += _effects_on_file(path, was, now)
        if read.get(path, was.read) != was.read:
            found.append(f"read {path}")
    return sorted(set(found))


def _effects_on_file(path: str, was: Facts, now: Facts) -> Iterator[str]:
    if (now.size, now.written) != (was.size, was.written):
        yield f"written {path}"
    if now.links != was.links:
        yield f"linked {path}"
    attributes = (now.owner, now.mode, now.links, now.written)
    if now.changed != was.changed and attributes == (was.owner, was.mode, was.links, was.written):
        yield f"attributes {path}"


def make_canaries(root: Path, names: Iterable[str]) -> None:
    """
    Create files owned by root in *root*: ``file``, ``folder`` with *names* in it, and ``absent``.

    ``absent`` is an empty folder, for links whose target does not exist.
    """
    root.mkdir(mode=0o755)
    (root / "absent").mkdir(mode=0o755)
    folder = root / "folder"
    folder.mkdir(mode=0o755)
    secret(root / "file")
    for name in sorted(set(names)):
        # A name of a folder in the script is a folder here, too, with files in it.
        path = folder / name
        if name in {"config", "data", "health", "canary", "tls"}:
            path.mkdir(mode=0o755)
            for inner in ("mosquitto.db", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub"):
                secret(path / inner)
        else:
            secret(path)


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
    Return the argv of a process that searches *roots* for secrets with the rights of that user.

    It reads the secrets from stdin, one per line, and prints ``INDEX PATH`` for every secret that
    it can read; -1 is an archive.
    """
    return [sys.executable, "-I", "-c", _SCAN, str(uid), str(gid), *map(str, roots)]


def leaks(printed: str) -> set[tuple[int, str]]:
    """Return the index and the path of every readable secret in the output of ``scan_argv``."""
    fields = (line.partition(" ") for line in printed.splitlines())
    return {(int(index), path) for index, _, path in fields}
