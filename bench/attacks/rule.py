"""The rule: root works only where every folder on the way is root's alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bench.attacks.trace import LOOKED, MADE, RENAMED, Access

SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (folders where everybody may add names)


@dataclass(frozen=True, order=True)
class Violation:
    """A path that root touched where somebody else could have put a link."""

    path: str
    kind: str
    program: str
    whose: str

    def __str__(self) -> str:
        return f"{self.program}: {self.kind} {self.path} (writable by {self.whose})"


def violations(accesses: Iterable[Access], hostile: Mapping[str, str]) -> list[Violation]:
    """
    Return what root did against the rule, each path and kind once, in order.

    *hostile* names the folders that another user may write, with the user. Root may touch such a
    folder itself, because its name is in a folder of root's: it changes its owner, lists it and
    has it mounted. In it, root may look at a name without following it, and rename a file there
    that was made in a folder of root's alone: neither follows a link.
    """
    folders = {**dict.fromkeys(SHARED, "everybody"), **hostile}
    made: set[str] = set()
    found: dict[Violation, None] = {}
    for access in accesses:
        if access.uid != 0:
            continue
        folder = _outermost(access.path, folders)
        if folder is None:
            continue
        shared = folder in SHARED
        if shared and access.kind == MADE and str(PurePosixPath(access.path).parent) == folder:
            # Made by a call that fails where something is: nobody else can replace it there.
            made.add(access.path)
            continue
        if shared and any(_within(access.path, each) for each in made):
            continue
        if not _allowed(access, folder, folders):
            violation = Violation(access.path, access.kind, access.program, folders[folder])
            found.setdefault(violation)
    return list(found)


def _allowed(access: Access, folder: str, folders: Mapping[str, str]) -> bool:
    if os.path.dirname(access.path) != folder or access.followed:  # noqa: PTH120 (text alone)
        return False
    if access.kind == LOOKED:
        return True
    return (
        access.kind == RENAMED
        and bool(access.other)
        and folder not in SHARED
        and _outermost(access.other, folders) is None
    )


def _outermost(path: str, folders: Iterable[str]) -> str | None:
    """Return the outermost of *folders* that *path* is in; not *path* itself."""
    around = [each for each in folders if path != each and _within(path, each)]
    return min(around, key=len, default=None)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def raced(paths: Iterable[str], hostile: Mapping[str, str], whose: str) -> list[str]:
    """Return the names that *whose* can take: those in folders of theirs, and those on the way."""
    taken: set[str] = set()
    for path in paths:
        folder = _outermost(path, hostile)
        if folder is None or hostile[folder] != whose:
            continue
        while path != folder:
            taken.add(path)
            path = os.path.dirname(path)  # noqa: PTH120, PLW2901 (text alone)
    return sorted(taken)
