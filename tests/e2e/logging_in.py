"""A client that logs in again and again while something else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from mqtt import Client, Refused

PAUSE = 0.05


@dataclass
class Logins:
    """The result of each attempt to log in."""

    refused: list[str] = field(default_factory=list)
    """The broker's reason for each refused login."""
    accepted: list[float] = field(default_factory=list)
    """The time of each accepted login, in seconds of a monotonic clock."""

    @property
    def longest_gap(self) -> float:
        """The longest time between two accepted logins, in seconds."""
        return max(
            (after - before for before, after in pairwise(self.accepted)), default=float("inf")
        )


@contextmanager
def logging_in(port: int, user: str, password: str) -> Iterator[Logins]:
    """Log in as *user* repeatedly, from before the block begins until after it ends."""
    logins, ended, begun = Logins(), threading.Event(), threading.Event()

    def attempt() -> None:
        try:
            Client(port, user, password).close()
        except Refused as login_error:
            logins.refused.append(str(login_error))
        except (OSError, TimeoutError):
            pass  # the broker does not answer: this becomes a gap
        else:
            logins.accepted.append(time.monotonic())

    def run() -> None:
        while not ended.is_set():
            attempt()
            begun.set()
            ended.wait(PAUSE)
        attempt()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert begun.wait(120)
        yield logins
    finally:
        ended.set()
        thread.join()
