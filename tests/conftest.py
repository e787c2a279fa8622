"""What tests on real parts share: a Docker daemon that answers, and broker images on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
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
            daemon.argv(*words), check=False, capture_output=True, text=True, timeout=120
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
