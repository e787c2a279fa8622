"""Fixtures for tests with a real Docker daemon, and the distribution of tests by group."""

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
from bootstrap.broker_image import fallback_image as build_fallback_image
from bootstrap.docker_daemon import Daemon, ensure_daemon
from broker.host.transport import DEFAULT_SOCKET

# Limit the number of examples, not their time, which depends on the load of the machine.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    yield
    early_first(items)


# First: xdist's own hook reports the end of the collection, after which the groups are read.
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
    """Return the file with the groups of the tests, written by the processes of `pytest -n`."""
    if GROUPS not in config.stash:
        folder = tempfile.TemporaryDirectory(prefix="sentient-mqtt-groups-")
        config.add_cleanup(folder.cleanup)
        config.stash[GROUPS] = Path(folder.name, "groups.json")
    return config.stash[GROUPS]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """``tell("text")`` prints on stderr, also with `pytest -n`."""

    def write(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return write


# If a shell started pytest with `&`, SIGINT is ignored here and in processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


GROUPS = pytest.StashKey[Path]()


class Docker(Protocol):
    """``docker("run", "--rm", image)`` returns stdout; on an error it fails with the output."""

    def __call__(self, *words: str, check: bool = True) -> str: ...


@pytest.fixture(scope="session")
def daemon() -> Daemon:
    """The Docker daemon for tests; installed and started if needed, as by ``up``."""
    return ensure_daemon(os.environ.get("DOCKER_HOST") or DEFAULT_SOCKET)


@pytest.fixture(scope="session")
def docker(daemon: Daemon) -> Docker:
    """The docker client. With ``check=False``, an error returns stdout and stderr instead."""

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
    """``fallback_image("trixie")`` returns an image with Mosquitto 2.0, "forky" one with 2.1."""

    @cache
    def named(suite: str) -> str:
        return build_fallback_image(suite, daemon).name

    return named


@pytest.fixture(scope="session")
def prometheus() -> Path:
    """The folder with Debian's ``prometheus``, ``promtool`` and ``prometheus-node-exporter``."""
    packages = ("prometheus", "prometheus-node-exporter")
    return apt.unpack(packages, what="tests") / "usr" / "bin"
