"""Fixtures of the tests of ``host/``: a host, and small or read-only disks."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from busybox_host import link_tools
from host_under_test import Host


@pytest.fixture(scope="session")
def busybox() -> Iterator[Path]:
    """Return a folder with the programs of a BusyBox host, which every user may enter."""
    with tempfile.TemporaryDirectory(prefix="sentient-mqtt-busybox-") as folder:
        Path(folder).chmod(0o755)
        yield link_tools(Path(folder, "bin"))


@pytest.fixture(params=["debian", "busybox"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """Return a host with the tools of this machine, and one with those of BusyBox."""
    folder = tmp_path / "machine"
    folder.mkdir()
    tools = request.getfixturevalue("busybox") if request.param == "busybox" else None
    return Host(folder, tools)


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
