"""The cache folder (can be rebuilt) and the state folder (must not be lost) of this project."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "sentient-mqtt"


def cache() -> Path:
    """Return the cache folder; create it if it is missing."""
    return _folder("XDG_CACHE_HOME", ".cache")


def state(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder, readable by its owner alone; create it if it is missing."""
    return _folder("XDG_STATE_HOME", ".local/state", environ)


def state_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the state folder, which may not exist."""
    return _path("XDG_STATE_HOME", ".local/state", environ)


def _folder(variable: str, below_home: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Create one of this project's folders and return it."""
    folder = _path(variable, below_home, environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Also if it exists already: it contains user names and topics.
    folder.chmod(0o700)
    return folder


def _path(variable: str, below_home: str, environ: Mapping[str, str]) -> Path:
    """Return the path of one of this project's folders (XDG Base Directory Specification)."""
    base = environ.get(variable, "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(base) if base.startswith("/") else home / below_home) / NAME
