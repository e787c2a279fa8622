"""What tests on real parts share: a Docker daemon that answers, and broker images on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from side_by_side import ByGroup, early_first, write_groups

from bootstrap import apt
from bootstrap.daemon import Daemon, ensure_daemon
from bootstrap.image import fallback_image as build_fallback_image
from broker.host.transport import DEFAULT_SOCKET

# A property is true however busy the machine is: examples are bounded in number, not in time.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    yield
    early_first(items)


# First: xdist's own hook tells that the tests are collected, and then the groups are read.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if file := getattr(session.config, "workerinput", {}).get("groups"):
        write_groups(Path(file), session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["groups"] = str(groups_of(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup | None:
    return ByGroup(config, log, groups_of(config)) if config.option.dist == "loadgroup" else None


def groups_of(config: pytest.Config) -> Path:
    """Return the file in which the processes of `pytest -n` say the groups of the tests."""
    if GROUPS not in config.stash:
        folder = tempfile.TemporaryDirectory(prefix="sentient-mqtt-groups-")
        config.add_cleanup(folder.cleanup)
        config.stash[GROUPS] = Path(folder.name, "groups.json")
    return config.stash[GROUPS]


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


GROUPS = pytest.StashKey[Path]()


class Docker(Protocol):
    """``docker("run", "--rm", image)`` returns stdout; a failure says what Docker said."""

    def __call__(self, *words: str, check: bool = True) -> str: ...


@pytest.fixture(scope="session")
def daemon() -> Daemon:
    """The Docker daemon that tests use: installed and started if need be, as ``up`` does."""
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
def fallback_image(daemon: Daemon) -> Callable[[str], str]:
    """``fallback_image("trixie")`` returns an image with Mosquitto 2.0, ``"forky"`` one with 2.1."""

    @cache
    def named(suite: str) -> str:
        return build_fallback_image(suite, daemon).name

    return named


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The folder with Debian's ``prometheus``, ``promtool`` and ``prometheus-node-exporter``."""
    packages = ("prometheus", "prometheus-node-exporter")
    return apt.unpack(packages, what="tests") / "usr" / "bin"
