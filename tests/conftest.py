"""What tests on real parts share: a Docker daemon that answers, and broker images on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Protocol

import hypothesis
import pytest

from bootstrap import apt
from bootstrap.daemon import Daemon, ensure_daemon
from bootstrap.image import stand_in as build_stand_in
from broker.host.facts import DEFAULT_SOCKET

# A property is true however busy the machine is: examples are bounded in number, not in time.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


# One of these makes brokers for a test, which shares nothing else of it with the next one.
MAKES_ONE_EACH = {"start"}


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """With `pytest -n`: tests that share a fixture run in one process, and long ones come first."""
    groups = {item: group(item) for item in items}
    for item in items:
        if groups[item]:
            item.add_marker(pytest.mark.xdist_group(groups[item]))
    yield
    early = {groups[item] or item for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: (groups[item] or item) not in early)


def group(item: pytest.Item) -> str:
    """Return what names the tests that run in one process, in their order; '' for one by itself."""
    if named := item.get_closest_marker("group"):
        return str(named.args[0])
    if not isinstance(item, pytest.Function) or not any(
        found[-1].scope in ("module", "class")
        for name, found in item._fixtureinfo.name2fixturedefs.items()
        if name not in MAKES_ONE_EACH
    ):
        return ""
    line = item.callspec.params.get("line", "") if hasattr(item, "callspec") else ""
    return f"{item.path.stem} {line}".strip()


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """``tell("so many")``: a figure for whoever watches the run, also with `pytest -n`."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return say


# A shell ignores SIGINT in what it starts with `&`, and so would what a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Docker(Protocol):
    """``docker("run", "--rm", image)`` returns stdout; a failure says what Docker said."""

    def __call__(self, *words: str, check: bool = True) -> str: ...


@pytest.fixture(scope="session")
def daemon() -> Daemon:
    """The Docker daemon that tests use: installed and started if need be, as ``make up`` does."""
    return ensure_daemon(os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET)


@pytest.fixture(scope="session")
def docker(daemon: Daemon) -> Docker:
    """The docker client. With ``check=False`` a failure returns what was said instead."""

    def run(*words: str, check: bool = True) -> str:
        result = subprocess.run(
            daemon.argv(*words), check=False, capture_output=True, text=True, timeout=600
        )
        if check and result.returncode != 0:
            pytest.fail(f"docker {' '.join(words)}: {result.stdout}{result.stderr}")
        return result.stdout if result.returncode == 0 else result.stdout + result.stderr

    return run


@pytest.fixture(scope="session")
def stand_in(daemon: Daemon) -> Callable[[str], str]:
    """``stand_in("trixie")``, ``stand_in("forky")``: the name of an image with 2.0 or with 2.1."""

    @cache
    def named(suite: str) -> str:
        return build_stand_in(suite, daemon).name

    return named


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The folder with Debian's ``prometheus``, ``promtool`` and ``prometheus-node-exporter``."""
    packages = ("prometheus", "prometheus-node-exporter")
    return apt.unpack(packages, what="tests") / "usr" / "bin"
