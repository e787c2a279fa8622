"""Somebody who logs in again and again while something happens, and how that went."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mqtt import Client, Refused

PAUSE = 0.05


@dataclass
class Logins:
    """What came of each attempt."""

    refused: list[str] = field(default_factory=list)
    """By a broker that answered."""
    let_in: list[float] = field(default_factory=list)
    """When (seconds of a clock that never goes back)."""

    @property
    def longest_gap(self) -> float:
        """The longest time between two that were let in, in seconds."""
        return max(
            (after - before for before, after in zip(self.let_in, self.let_in[1:], strict=False)),
            default=float("inf"),
        )


@contextmanager
def logging_in(port: int, user: str, password: str) -> Iterator[Logins]:
    """Log in as *user* from before until after what is done meanwhile."""
    seen, ended, begun = Logins(), threading.Event(), threading.Event()

    def attempt() -> None:
        try:
            Client(port, user, password).close()
        except Refused as refusal:
            seen.refused.append(str(refusal))
        except (OSError, TimeoutError):
            pass  # nobody answers: that is a gap
        else:
            seen.let_in.append(time.monotonic())

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
        yield seen
    finally:
        ended.set()
        thread.join()
