"""Waiting for an event, never for a time."""

import time
from collections.abc import Callable
from typing import Any

BUSY = 6
"""A loaded machine may take so many times longer than an idle one; no test that passes waits so."""


def eventually(predicate: Callable[[], Any], seconds: float) -> Any:
    """Return the first true answer of *predicate*, which takes *seconds* on an idle machine."""
    began = time.monotonic()
    while not (answer := predicate()):
        waited = time.monotonic() - began
        assert waited < seconds * BUSY, f"not within {waited:.0f} s; last answer: {answer!r}"
        time.sleep(0.1)
    return answer
