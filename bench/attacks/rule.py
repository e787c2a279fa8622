"""The rule: root works only where every folder on the path belongs to root alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bench.attacks.trace import LOOKED, MADE, RENAMED, Access

SHARED = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 (folders in which every user may create names)


@dataclass(frozen=True, order=True)
class Violation:
    """A path that root accessed although another user could have placed a link there."""

    path: str
    kind: str
    program: str
    whose: str

    def __str__(self) -> str:
        return f"{self.program}: {self.kind} {self.path} (writable by {self.whose})"


def violations(accesses: Iterable[Access], hostile: Mapping[str, str]) -> list[Violation]:
    """
    Return the accesses of root against the rule, each path and kind once, in order.

    *hostile* maps folders that another user may write to that user. Root may access such a folder
    itself, because its name is in a folder of root: change its owner, list it and mount it. In the
    folder, root may inspect a name without following it, and rename a file into it that was
    created in a folder of root alone: neither follows a link.
    """
    folders = {**dict.fromkeys(SHARED, "everybody"), **hostile}
    created: set[str] = set()
    found: dict[Violation, None] = {}
    for access in accesses:
        if access.uid != 0:
            continue
        folder = _outermost(access.path, folders)
        if folder is None:
            continue
        shared = folder in SHARED
        if shared and access.kind == MADE and str(PurePosixPath(access.path).parent) == folder:
            # The call fails if the name exists, and no other user can replace it afterwards.
            created.add(access.path)
            continue
        if shared and any(_within(access.path, path) for path in created):
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
    """Return the outermost of *folders* that contains *path*, other than *path* itself."""
    containing = [folder for folder in folders if path != folder and _within(path, folder)]
    return min(containing, key=len, default=None)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def raced(paths: Iterable[str], hostile: Mapping[str, str], whose: str) -> list[str]:
    """Return the names in folders of *whose* on the way to *paths*: those that it can replace."""
    taken: set[str] = set()
    for path in paths:
        folder = _outermost(path, hostile)
        if folder is None or hostile[folder] != whose:
            continue
        while path != folder:
            taken.add(path)
            path = os.path.dirname(path)  # noqa: PTH120, PLW2901 (text alone)
    return sorted(taken)
