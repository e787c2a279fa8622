"""Find the copy of a file or folder by its path on another machine or in a container."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath


def find_files(path: str, texts: Mapping[str, str]) -> list[str]:
    """
    Return the names in *texts* that are the end of *path*, the longest first.

    Of ``/mosquitto/config/acl/site`` these may be ``acl/site`` and ``site``.
    """
    return [suffix for suffix in _suffixes(path) if suffix in texts]


def find_folder(path: str, texts: Mapping[str, str]) -> str | None:
    """Return the folder with files in *texts* that is the longest end of *path*, or None."""
    folders = {str(PurePosixPath(name).parent) for name in texts}
    return next((suffix for suffix in _suffixes(path) if suffix in folders), None)


def _suffixes(path: str) -> Iterator[str]:
    parts = [part for part in PurePosixPath(posixpath.normpath(path)).parts if part != "/"]
    for start in range(len(parts)):
        if ".." not in parts[start:] and parts[start:] != ["."]:
            yield "/".join(parts[start:])
