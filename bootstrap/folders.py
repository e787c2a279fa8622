"""Where this project keeps what it can build again (cache) and what it must not lose (state)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

NAME = "sentient-mqtt"


def cache() -> Path:
    """Return the cache folder, which is there afterwards."""
    return _folder("XDG_CACHE_HOME", ".cache")


def state(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder, which is there afterwards and nobody else's to read."""
    return _folder("XDG_STATE_HOME", ".local/state", environ)


def state_place(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the state folder, which may not be there."""
    return _place("XDG_STATE_HOME", ".local/state", environ)


def _folder(variable: str, below_home: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return a folder of ours, which is there afterwards."""
    folder = _place(variable, below_home, environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Also where an older run, or a person, made it: user names and topics are in it.
    folder.chmod(0o700)
    return folder


def _place(variable: str, below_home: str, environ: Mapping[str, str]) -> Path:
    """Return where the XDG Base Directory Specification wants a folder of ours."""
    base = environ.get(variable, "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(base) if base.startswith("/") else home / below_home) / NAME
