"""Production's stack on this machine, as in tests/e2e, and the times of `pulumi` on it."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.clients import Address, Client, LoginRefusedError, free_port
from bootstrap.broker_image import FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from bootstrap.pulumi_engine import ensure_engine
from broker.settings.stack_settings import Settings
from cli.deployment_state import state_file
from cli.stack import ROOT

TESTS = ROOT / "tests"
STACK = "e2e"
TIMEOUT = 1800.0
START = 20.0
"""Seconds for a started broker to answer."""
OPTIONS = {"up": ("--yes", "--skip-preview"), "preview": ()}


class TooSlowError(Exception):
    """A command did not end within its timeout."""


COMMANDS = ("bootstrap", "cli", "engine", "images")
"""The folders of ./brokerctl, in addition to those of the program."""


@dataclass(frozen=True)
class Stack:
    """A prepared stack, not deployed yet."""

    site: Any
    """The Site of tests/e2e."""

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Apply *change* to the values of the stack file, by key without the project's name."""
        self.site.edit(change)

    def up(self, timeout: float = TIMEOUT) -> float:
        """Return the seconds that `pulumi up` takes."""
        return self._seconds("up", timeout)

    def preview(self, timeout: float = TIMEOUT) -> float:
        """Return the seconds that `pulumi preview` takes."""
        return self._seconds("preview", timeout)

    def add_commands(self) -> None:
        """Copy the folders of `brokerctl` into the project."""
        for name in COMMANDS:
            target = self.site.project / name
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))

    def command(self, *words: str, timeout: float = TIMEOUT) -> tuple[float, str]:
        """Return the seconds that a command of `brokerctl` takes, and its output."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words, "--stack", STACK],
            cwd=self.site.project,
            env=self.site.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        seconds = time.perf_counter() - began
        assert done.returncode == 0, f"brokerctl {' '.join(words)}:\n{done.stdout}"
        return seconds, str(done.stdout)

    @property
    def checkpoint_bytes(self) -> int:
        """The size of the state: one file, compressed, with encrypted secrets."""
        file = state_file(self.site.state, STACK)
        assert file is not None
        return file.stat().st_size

    @property
    def settings(self) -> Settings:
        """The current settings of the stack file."""
        settings = self.site.settings
        assert isinstance(settings, Settings)
        return settings

    def accepts_login(self, user: str) -> bool:
        """Return whether *user* can log in with the password in the state."""
        return accepts_login(self.site.ports[0], user, self.site.password(user))

    def _seconds(self, word: str, timeout: float) -> float:
        """Run ``pulumi`` *word* in its own process group, which is killed after *timeout*."""
        argv = ["pulumi", "--non-interactive", "--color=never", word, "--stack", STACK]
        began = time.perf_counter()
        with subprocess.Popen(
            [*argv, *OPTIONS[word]],
            cwd=self.site.project,
            env=self.site.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=max(timeout, 0.1))
            except subprocess.TimeoutExpired:
                raise TooSlowError(f"pulumi {word}: not done after {timeout:.0f} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, f"pulumi {word}:\n{output}"
        return time.perf_counter() - began


def accepts_login(port: int, user: str, password: str) -> bool:
    """Return whether the broker on *port* accepts the login; wait for one that is starting."""
    address = Address(host="127.0.0.1", port=port, user=user, password=password)

    async def dial() -> bool:
        async with asyncio.timeout(START):
            while True:
                try:
                    client = await Client.dial(address, "bench")
                except LoginRefusedError:
                    return False
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    client.abort()
                    return True

    return asyncio.run(dial())


@contextmanager
def temporary_stack(name: str, **environment: str) -> Iterator[Stack]:
    """Prepare a stack, with *environment* added to that of `pulumi`; remove it after the block."""
    sys.path[:0] = [str(TESTS), str(TESTS / "e2e")]
    make_site = import_module("site_under_test").Site
    engine, daemon = ensure_engine(), ensure_daemon()
    fallback_image(FALLBACK_SUITE, daemon)

    def docker(*words: str, check: bool = True) -> str:
        return daemon.ask(*words) if check else daemon.run(*words).stdout

    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        Path(folder).chmod(0o755)
        site = make_site(
            name=name,
            folder=Path(folder) / "site",
            container=f"bench-{name}-{secrets.token_hex(4)}",
            ports=(free_port(), free_port()),
            engine=engine,
            docker=docker,
            # As in the backend that `./brokerctl up` creates.
            more_environment={"PULUMI_DIY_BACKEND_ZSTD": "true", **environment},
        )
        try:
            site.lay_out()
            yield Stack(site)
        finally:
            for helper in ("", "-candidate", "-rehearsal", "-exporter", "-former"):
                docker("rm", "--force", "--volumes", f"{site.container}{helper}", check=False)
            site.forget()
            Path(f"/run/sentient-mqtt-{site.container}.lock").unlink(missing_ok=True)
            shutil.rmtree(f"/etc/sentient-mqtt/{site.container}", ignore_errors=True)
