"""What strace(1) says of a script: which paths its processes touch, with which user's rights."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

STRACE = (
    *("strace", "-ff", "-ttt", "-y", "--seccomp-bpf", "-qq", "-s", "4096"),
    *("-e", "trace=%file,%process,setuid,setreuid,setresuid,fchdir"),
)
"""One file per process (``-ff``), so that no line is cut in two by another process."""

FOLLOWED, LOOKED, READ, MADE = "follow", "look", "read", "make"
CREATED, CHANGED, DELETED, RENAMED, MOUNTED = "create", "change", "delete", "rename", "mount"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One path that a process touched."""

    program: str
    uid: int
    kind: str
    path: str
    followed: bool = True
    """Whether a symbolic link in place of the last name is followed."""
    other: str = ""
    """The other path of a rename or a link: where it came from."""


@dataclass
class _Process:
    cwd: str
    uid: int
    program: str


@dataclass
class _Parsed:
    accesses: list[Access] = field(default_factory=list)
    processes: dict[int, _Process] = field(default_factory=dict)


_LINE = re.compile(r"^(\d+\.\d+) (\w+)\((.*)$", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+|\?)(?:<[^>]*>)?(?: (\w+))?")
_ARGUMENT = re.compile(
    r'(?P<fd>AT_FDCWD|-?\d+)<(?P<there>[^>]*)>|"(?P<text>(?:[^"\\]|\\.)*)"(?:\.\.\.)?'
)
_CLONES = {"clone", "clone3", "fork", "vfork"}
_TWO_PATHS = {"rename", "renameat", "renameat2", "link", "linkat"}
_LOOKS = {"readlink", "readlinkat", "lstat", "lgetxattr", "llistxattr"}
_FOLLOWS = {
    *("stat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "statfs", "getxattr"),
    *("listxattr", "chdir", "execve", "inotify_add_watch"),
}
_CHANGES = {
    *("chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "utimensat", "truncate"),
    *("setxattr", "lsetxattr", "mount", "umount2", "utime", "utimes", "futimesat"),
}
_DELETES = {"unlink", "unlinkat", "rmdir"}
_MAKES = {"mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat"}


def read(prefix: Path) -> dict[int, list[str]]:
    """Return the lines of each process from the files that strace wrote as *prefix*.PID."""
    return {
        int(file.suffix[1:]): file.read_text("utf-8", errors="surrogateescape").splitlines()
        for file in prefix.parent.glob(f"{prefix.name}.*")
    }


def parse(lines: Mapping[int, Iterable[str]], *, cwd: str) -> list[Access]:
    """
    Return what the processes touched, in the order in which the calls began.

    *lines* is the output of each process by its id. The process that called first has *cwd* and
    user 0. A path is absolute and has no ``..``; links on the way are not resolved.
    """
    found = _Parsed()
    events = sorted(
        (float(matched[1]), pid, matched[2], matched[3])
        for pid, texts in lines.items()
        for line in texts
        if (matched := _LINE.match(line))
    )
    for _, pid, call, rest in events:
        process = found.processes.setdefault(pid, _Process(cwd=cwd, uid=0, program="sh"))
        result = _RESULT.search(rest)
        ended = result[1] if result else "?"
        _take(found, process, call, rest, ended)
    return found.accesses


def _take(found: _Parsed, process: _Process, call: str, rest: str, ended: str) -> None:
    failed = ended.startswith("-")
    if call in _CLONES:
        if not failed and ended != "?":
            child = _Process(cwd=process.cwd, uid=process.uid, program=process.program)
            found.processes.setdefault(int(ended), child)
        return
    if call in {"setuid", "setreuid", "setresuid"}:
        words = re.findall(r"-?\d+", rest.partition(")")[0])
        effective = int(words[0] if call == "setuid" else words[1])
        if not failed and effective >= 0:
            process.uid = effective
        return
    paths = list(_paths(call, rest, process.cwd))
    if call == "execve":
        if not failed and paths:
            process.program = Path(paths[0]).name
            found.accesses.append(
                Access(program=process.program, uid=process.uid, kind=READ, path=paths[0])
            )
            found.accesses += _mounts(process, rest)
        return
    if call in {"chdir", "fchdir"} and not failed and paths:
        process.cwd = paths[0]
    for path, other in _targets(call, paths):
        kind, followed = _kind(call, rest)
        found.accesses.append(
            Access(
                program=process.program,
                uid=process.uid,
                kind=kind,
                path=path,
                followed=followed,
                other=other,
            )
        )


def _paths(call: str, rest: str, cwd: str) -> Iterator[str]:
    """Yield the paths among a call's arguments, absolute."""
    folder = cwd
    skipped = 1 if call in {"symlink", "symlinkat"} else 0
    for argument in _ARGUMENT.finditer(rest.partition(") = ")[0] or rest):
        if argument["there"] is not None:
            folder = argument["there"].removesuffix(" (deleted)")
            if call == "fchdir":
                yield folder
            continue
        if skipped:
            skipped -= 1
            continue
        text = _unescaped(argument["text"])
        if text:
            yield os.path.normpath(str(PurePosixPath(folder, text)))
        folder = cwd


def _targets(call: str, paths: list[str]) -> Iterator[tuple[str, str]]:
    if call in _TWO_PATHS and len(paths) > 1:
        yield paths[1], paths[0]
        yield paths[0], ""
    elif paths:
        # What else is quoted is what the call answered, such as a link's target.
        yield paths[0], ""


def _kind(call: str, rest: str) -> tuple[str, bool]:
    nofollow = "NOFOLLOW" in rest
    if call in {"open", "openat", "openat2", "creat"}:
        return _opened(call, rest), not nofollow and "O_EXCL" not in rest
    table = (
        (_MAKES, MADE, False),
        (_DELETES, DELETED, False),
        (_TWO_PATHS, RENAMED, "AT_SYMLINK_FOLLOW" in rest),
        (_LOOKS, LOOKED, False),
        (_CHANGES, CHANGED, not nofollow and not call.startswith("l")),
    )
    for calls, kind, followed in table:
        if call in calls:
            return kind, followed
    return (LOOKED, False) if nofollow else (FOLLOWED, call in _FOLLOWS)


def _opened(call: str, rest: str) -> str:
    if "O_CREAT" in rest or call == "creat":
        return MADE if "O_EXCL" in rest else CREATED
    if "O_WRONLY" in rest or "O_RDWR" in rest:
        return CHANGED
    return LOOKED if "O_PATH" in rest or "O_DIRECTORY" in rest else READ


def _mounts(process: _Process, rest: str) -> Iterator[Access]:
    """Yield the folders that dockerd, which is root too, is told to mount."""
    words = [_unescaped(each) for each in re.findall(r'"((?:[^"\\]|\\.)*)"', rest)]
    if process.program != "docker":
        return
    for option, value in pairwise(words):
        source = ""
        if option in {"-v", "--volume"}:
            source = value.partition(":")[0]
        elif option == "--mount":
            source = dict(part.partition("=")[::2] for part in value.split(",")).get("source", "")
        if source.startswith("/"):
            yield Access(
                program="dockerd", uid=0, kind=MOUNTED, path=os.path.normpath(source), followed=True
            )


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    raw = text.encode("latin-1", "surrogateescape").decode("unicode_escape")
    return raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


_RANDOM = re.compile(r"\d{8}T\d{6}Z|(?<=[._-])[A-Za-z0-9]{6,12}$|\d{3,}")


def names(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """
    Return the names in two runs of a script, shell patterns in place of their random parts.

    What differs between the runs and looks random, be it of mktemp(1), a time or a process id, is
    one ``*``.
    """
    one, other = set(first), set(second)
    both = one & other
    patterns = {
        "/".join(_RANDOM.sub("*", component) for component in path.split("/"))
        for path in one ^ other
    }
    return sorted(both | patterns)
