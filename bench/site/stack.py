"""Production's stack as tests/e2e moves it to this machine, and `pulumi` on it by the clock."""

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

from bench.clients import Address, Client, TurnedAwayError, free_port
from bootstrap.daemon import ensure_daemon
from bootstrap.engine import ensure_engine
from bootstrap.image import FALLBACK_SUITE, fallback_image
from broker.settings.stack_settings import Settings
from cli.stack import ROOT

TESTS = ROOT / "tests"
STACK = "e2e"
PATIENCE = 1800.0
START = 20.0
"""Seconds until a broker that was started answers."""
OPTIONS = {"up": ("--yes", "--skip-preview"), "preview": ()}


class TooSlowError(Exception):
    """A command was stopped because its time was up."""


COMMANDS = ("bootstrap", "cli", "engine", "images")
"""Beside what a stack needs: the folders that the commands are in."""


@dataclass(frozen=True)
class Stack:
    """A stack that is laid out; nothing is up until it is brought up."""

    site: Any
    """tests/e2e's Site."""

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let *change* work on the stack file's values, by key without the project's name."""
        self.site.edit(change)

    def up(self, patience: float = PATIENCE) -> float:
        """Return the seconds that `pulumi up` takes."""
        return self._seconds("up", patience)

    def preview(self, patience: float = PATIENCE) -> float:
        """Return the seconds that `pulumi preview` takes."""
        return self._seconds("preview", patience)

    def add_commands(self) -> None:
        """Put what `brokerctl` needs beside the program."""
        for name in COMMANDS:
            copied = self.site.project / name
            shutil.copytree(ROOT / name, copied, ignore=shutil.ignore_patterns("__pycache__"))

    def command(self, *words: str, patience: float = PATIENCE) -> tuple[float, str]:
        """Return the seconds that a command of `brokerctl` takes, and what it says."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "cli", *words, "--stack", STACK],
            cwd=self.site.project,
            env=self.site.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=patience,
            check=False,
        )
        seconds = time.perf_counter() - began
        assert done.returncode == 0, f"brokerctl {' '.join(words)}:\n{done.stdout}"
        return seconds, str(done.stdout)

    @property
    def checkpoint_bytes(self) -> int:
        """The size of the state: one JSON file, secrets encrypted."""
        (file,) = self.site.state.glob(".pulumi/stacks/*/*.json")
        return int(file.stat().st_size)

    @property
    def settings(self) -> Settings:
        """What the stack file says now."""
        found = self.site.settings
        assert isinstance(found, Settings)
        return found

    def lets_in(self, user: str) -> bool:
        """Whether *user* is let in with the password that the state says."""
        return lets_in(self.site.ports[0], user, self.site.password(user))

    def _seconds(self, word: str, patience: float) -> float:
        """Run ``pulumi`` *word*, as a group of processes that ends as a whole when time is up."""
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
                said, _ = process.communicate(timeout=max(patience, 0.1))
            except subprocess.TimeoutExpired:
                raise TooSlowError(f"pulumi {word}: not done after {patience:.0f} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, f"pulumi {word}:\n{said}"
        return time.perf_counter() - began


def lets_in(port: int, user: str, password: str) -> bool:
    """Whether the broker behind *port* answers CONNECT with 0; one that starts is waited for."""
    address = Address(host="127.0.0.1", port=port, user=user, password=password)

    async def dial() -> bool:
        async with asyncio.timeout(START):
            while True:
                try:
                    client = await Client.dial(address, "bench")
                except TurnedAwayError:
                    return False
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    client.abort()
                    return True

    return asyncio.run(dial())


@contextmanager
def temporary_stack(name: str, **environment: str) -> Iterator[Stack]:
    """Lay out a stack, with *environment* added to that of `pulumi`; at the end nothing is left."""
    sys.path[:0] = [str(TESTS), str(TESTS / "e2e")]
    make = import_module("site_under_test").Site
    engine, daemon = ensure_engine(), ensure_daemon()
    fallback_image(FALLBACK_SUITE, daemon)

    def docker(*words: str, check: bool = True) -> str:
        return daemon.ask(*words) if check else daemon.run(*words).stdout

    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        Path(folder).chmod(0o755)
        site = make(
            name=name,
            folder=Path(folder) / "site",
            container=f"bench-{name}-{secrets.token_hex(4)}",
            ports=(free_port(), free_port()),
            engine=engine,
            docker=docker,
            more_environment=environment,
        )
        try:
            site.lay_out()
            yield Stack(site)
        finally:
            for each in (site.container, f"{site.container}-candidate"):
                docker("rm", "--force", "--volumes", each, check=False)
            site.forget()
            Path(f"/run/sentient-mqtt-{site.container}.lock").unlink(missing_ok=True)
