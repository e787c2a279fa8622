"""Wait for an event instead of a fixed time."""

import time
from collections.abc import Callable
from typing import Any

BUSY = 6
"""The factor by which a loaded machine may be slower; a passing test does not wait so long."""


def eventually(predicate: Callable[[], Any], seconds: float) -> Any:
    """Return the first true result of *predicate*, which takes *seconds* on an idle machine."""
    began = time.monotonic()
    while not (answer := predicate()):
        waited = time.monotonic() - began
        assert waited < seconds * BUSY, f"not within {waited:.0f} s; last answer: {answer!r}"
        time.sleep(0.1)
    return answer
