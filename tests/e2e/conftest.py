"""Fixtures of the end-to-end tests: sites, each a stack of production's stack file."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from process_watcher import SECRET_VARIABLES, ProcessWatcher
from site_under_test import Site

from bootstrap.pulumi_engine import Engine, ensure_engine

MakeSite = Callable[..., Site]

MAIN_SITE_GROUP = "main site"
HOST_SCHEDULE_GROUP = "the host's schedule"
"""Tests that install or run scheduled jobs on the host; they must not run at the same time."""
HOST_SCHEDULE_MODULES = ("test_20_backup", "test_23_monitoring", "test_25_drift")


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """Group the tests that must run in one process, in their order, with `pytest -n`."""
    if {"site", "new_site"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.group(MAIN_SITE_GROUP))
        item.add_marker(pytest.mark.early)
    elif item.path.stem in HOST_SCHEDULE_MODULES:
        item.add_marker(pytest.mark.group(HOST_SCHEDULE_GROUP))


@pytest.fixture(scope="session")
def engine() -> Engine:
    assert os.geteuid() == 0, "tests/e2e creates users and folders of uid 1883: run it as root"
    return ensure_engine()


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is for root only."""
    folder = Path(tempfile.mkdtemp(prefix="sentient-mqtt-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def make_site(
    shared_folder: Path,
    engine: Engine,
    docker: Callable[..., str],
    fallback_image: Callable[[str], str],
) -> Iterator[MakeSite]:
    """``make_site("name", change)``: a site on which nothing has been deployed yet."""
    fallback_image("trixie")
    sites: list[Site] = []

    def make(name: str, change: Callable[[dict[str, Any]], None] | None = None) -> Site:
        site = Site(
            name=name,
            folder=shared_folder / name,
            container=f"e2e-{name}-{secrets.token_hex(4)}",
            ports=(free_port(), free_port()),
            engine=engine,
            docker=docker,
        )
        sites.append(site)
        site.lay_out()
        if change is not None:
            site.edit(change)
        return site

    yield make
    for site in sites:
        names = [f"{site.container}{helper}" for helper in ("", "-former", "-exporter")]
        docker("rm", "--force", "--volumes", *names, check=False)
        site.forget()


@pytest.fixture(scope="session")
def process_watcher() -> Iterator[ProcessWatcher]:
    """Records the command lines and environments of all processes while ``watching()``."""
    with ProcessWatcher() as watcher:
        yield watcher


@pytest.fixture(scope="session")
def new_site(make_site: MakeSite) -> Site:
    """The main site before its first `up`."""
    prod = make_site("prod")
    prod.more_environment = dict(SECRET_VARIABLES)
    return prod


@pytest.fixture(scope="session")
def site(new_site: Site, process_watcher: ProcessWatcher) -> Site:
    """The main site, up. Most tests share it, in the order of their files."""
    with process_watcher.watching():
        new_site.up()
    new_site.publish_durable_messages()
    return new_site


@pytest.fixture
def untouched(site: Site) -> Iterator[None]:
    """Fail if the test restarts the main site's broker, disconnects a client or changes a file."""
    before = (site.inspect()["State"]["StartedAt"], site.files())
    with site.client("admin") as client:
        yield
        assert client.disconnected is None
    assert (site.inspect()["State"]["StartedAt"], site.files()) == before


@pytest.fixture
def mount() -> Iterator[Callable[..., Path]]:
    """``mount(path, "size=256k")``: a file system at *path* until the end of the test."""
    mounted: list[Path] = []

    def mount_tmpfs(path: Path, options: str) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
        mounted.append(path)
        return path

    yield mount_tmpfs
    for path in reversed(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)
