"""Parse the output of strace(1): the paths that processes access, and with which user's rights."""

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
"""``-ff`` writes one file per process, so that lines of processes do not mix."""

FOLLOWED, LOOKED, READ, MADE = "follow", "look", "read", "make"
CREATED, CHANGED, DELETED, RENAMED, MOUNTED = "create", "change", "delete", "rename", "mount"


@dataclass(frozen=True, kw_only=True)
class Access:
    """One access of a process to a path."""

    program: str
    uid: int
    kind: str
    path: str
    followed: bool = True
    """Whether the call follows a symbolic link at the last name."""
    other: str = ""
    """The source path of a rename or a link."""


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
    r'(?P<fd>AT_FDCWD|-?\d+)<(?P<folder>[^>]*)>|"(?P<text>(?:[^"\\]|\\.)*)"(?:\.\.\.)?'
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
    """Return the lines by process ID, from the files *prefix*.PID that strace wrote."""
    return {
        int(file.suffix[1:]): file.read_text("utf-8", errors="surrogateescape").splitlines()
        for file in prefix.parent.glob(f"{prefix.name}.*")
    }


def parse(lines: Mapping[int, Iterable[str]], *, cwd: str) -> list[Access]:
    """
    Return the accesses of the processes, in the order in which the calls began.

    *lines* is the output by process ID. The first process starts in *cwd* with user 0. Paths are
    absolute and have no ``..``; links in them are not resolved.
    """
    parsed = _Parsed()
    events = sorted(
        (float(matched[1]), pid, matched[2], matched[3])
        for pid, texts in lines.items()
        for line in texts
        if (matched := _LINE.match(line))
    )
    for _, pid, call, rest in events:
        process = parsed.processes.setdefault(pid, _Process(cwd=cwd, uid=0, program="sh"))
        result = _RESULT.search(rest)
        _add_call(parsed, process, call, rest, result[1] if result else "?")
    return parsed.accesses


def _add_call(parsed: _Parsed, process: _Process, call: str, rest: str, result: str) -> None:
    """Add the accesses of one system call, and update the state of its process."""
    failed = result.startswith("-")
    if call in _CLONES:
        if not failed and result != "?":
            child = _Process(cwd=process.cwd, uid=process.uid, program=process.program)
            parsed.processes.setdefault(int(result), child)
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
            parsed.accesses.append(
                Access(program=process.program, uid=process.uid, kind=READ, path=paths[0])
            )
            parsed.accesses += _mounts(process, rest)
        return
    if call in {"chdir", "fchdir"} and not failed and paths:
        process.cwd = paths[0]
    for path, other in _targets(call, paths):
        kind, followed = _kind(call, rest)
        parsed.accesses.append(
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
    """Yield the paths in the arguments of a call, as absolute paths."""
    folder = cwd
    skipped = 1 if call in {"symlink", "symlinkat"} else 0
    for argument in _ARGUMENT.finditer(rest.partition(") = ")[0] or rest):
        if argument["folder"] is not None:
            folder = argument["folder"].removesuffix(" (deleted)")
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
        # Further quoted texts are results, such as the target of a link.
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
    """Yield the folders that the docker command makes dockerd, which is root, mount."""
    words = [_unescaped(word) for word in re.findall(r'"((?:[^"\\]|\\.)*)"', rest)]
    if process.program != "docker":
        return
    for option, value in pairwise(words):
        source = ""
        if option in {"-v", "--volume"}:
            source = value.partition(":")[0]
        elif option == "--mount":
            fields = dict(item.partition("=")[::2] for item in value.split(","))
            source = fields.get("source", "")
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
    Return the names in two runs of a script, with random components as shell patterns.

    If a name differs between the runs, a component that looks random (from mktemp(1), a time or a
    process ID) becomes ``*``.
    """
    before, after = set(first), set(second)
    patterns = {
        "/".join(_RANDOM.sub("*", component) for component in path.split("/"))
        for path in before ^ after
    }
    return sorted((before & after) | patterns)
