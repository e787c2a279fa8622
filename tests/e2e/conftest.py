"""Production's stack file on a root folder of the test's own, brought up by the plain `pulumi`."""

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
from site_under_test import Site
from witness import PULUMIS, Witness

from bootstrap.engine import Engine, ensure_engine

MakeSite = Callable[..., Site]

# Chapters of one story, and what the host's clock would start while another test waits for it.
STORY = "main site"
CLOCK = "the host's clock"
BY_CLOCK = ("test_20_backup", "test_23_monitoring")


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """With `pytest -n`, the main site's chapters run in one process, and other sites beside it."""
    if {"site", "unborn"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.group(STORY))
        item.add_marker(pytest.mark.early)
    elif item.path.stem in BY_CLOCK:
        item.add_marker(pytest.mark.group(CLOCK))


@pytest.fixture(scope="session")
def engine() -> Engine:
    assert os.geteuid() == 0, "tests/e2e makes folders of uid 1883 and users: run it as root"
    return ensure_engine()


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is for root alone."""
    folder = Path(tempfile.mkdtemp(prefix="sentient-mqtt-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def make_site(
    ground: Path, engine: Engine, docker: Callable[..., str], fallback_image: Callable[[str], str]
) -> Iterator[MakeSite]:
    """``make_site("name", change)``: a site that nothing has been brought up on yet."""
    fallback_image("trixie")
    made: list[Site] = []

    def make(name: str, change: Callable[[dict[str, Any]], None] | None = None) -> Site:
        site = Site(
            name=name,
            folder=ground / name,
            container=f"e2e-{name}-{secrets.token_hex(4)}",
            ports=(free_port(), free_port()),
            engine=engine,
            docker=docker,
        )
        made.append(site)
        site.lay_out()
        if change is not None:
            site.edit(change)
        return site

    yield make
    for site in made:
        docker("rm", "--force", "--volumes", site.container, check=False)
        site.forget()


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness]:
    """Everything that any process showed of itself to the others, until the end."""
    with Witness() as present:
        yield present


@pytest.fixture(scope="session")
def unborn(make_site: MakeSite) -> Site:
    """The main site before anything is there."""
    prod = make_site("prod")
    prod.more_environment = dict(PULUMIS)
    return prod


@pytest.fixture(scope="session")
def site(unborn: Site, witness: Witness) -> Site:
    """The main site, up; most chapters of the story share it."""
    with witness.watching():
        unborn.up()
    unborn.keep_promises()
    return unborn


@pytest.fixture
def untouched(site: Site) -> Iterator[None]:
    """Whatever happens in the test, the broker of the main site and its files stay as they are."""
    before = (site.inspect()["State"]["StartedAt"], site.files())
    with site.client("admin") as client:
        yield
        assert client.disconnected is None
    assert (site.inspect()["State"]["StartedAt"], site.files()) == before


@pytest.fixture
def mount() -> Iterator[Callable[..., Path]]:
    """``mount(path, "size=256k")``: a file system of its own at *path*, until the end."""
    mounted: list[Path] = []

    def at(path: Path, options: str) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
        mounted.append(path)
        return path

    yield at
    for path in reversed(mounted):
        subprocess.run(["umount", "--lazy", path], check=True)
