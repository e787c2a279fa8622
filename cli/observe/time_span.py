"""Parse the value of `--since`, such as 24h."""

from __future__ import annotations

import re
from datetime import timedelta

from cli.errors import NotPerformedError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def parse_time_span(text: str) -> timedelta:
    """
    Return the time span *text*, such as 30m, 24h or 7d.

    Raises:
        NotPerformedError: *text* is no time span.

    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise NotPerformedError(
            f"--since {text}: must be a number and m, h or d, such as 30m, 24h or 7d"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
