"""Waiting for an event, never for a time."""

import time
from collections.abc import Callable
from typing import Any


def eventually(predicate: Callable[[], Any], seconds: float) -> Any:
    """Return the first true answer of *predicate*; fail with its last one after *seconds*."""
    deadline = time.monotonic() + seconds
    while not (answer := predicate()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last answer: {answer!r}"
        time.sleep(0.1)
    return answer
