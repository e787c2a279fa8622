"""Fixtures of the tests of ``host/``: a host, and small or read-only disks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_under_test import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    folder = tmp_path / "machine"
    folder.mkdir()
    return Host(folder)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return ``mount(folder, "size=64k")``, which mounts a tmpfs there until the test ends."""
    mounted: list[Path] = []

    def on(folder: Path, options: str) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        mounted.append(folder)
        return folder

    yield on
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
