"""A PATH with fake programs that record their calls."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bootstrap import progress


class Machine:
    """A PATH with a shell, its tools and the fake programs of a test."""

    TOOLS = ("sh", "cat", "sleep", "touch", "rm", "mkdir", "dirname", "id", "kill", "env")

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file = folder / "calls"
        for tool in self.TOOLS:
            found = shutil.which(tool, path=os.defpath)
            assert found is not None
            (self.bin / tool).symlink_to(found)

    def program(self, name: str, body: str = "exit 0") -> None:
        """Put *name* on PATH: sh records each call, then runs *body*."""
        path = self.bin / name
        # Remove a symbolic link first: writing through it would overwrite a file in /usr/bin.
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\n{body}\n')
        path.chmod(0o755)

    def calls(self, name: str = "") -> list[str]:
        """Return the calls that begin with *name*, in order."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        return [line for line in lines if line.startswith(name)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine without Docker, with its own cache and state folders."""
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    return made


@pytest.fixture(autouse=True)
def _no_timings() -> None:
    progress.reset()
