"""The time that a person asks about."""

from __future__ import annotations

import re
from datetime import timedelta

from cli.errors import NotPerformedError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def span(text: str) -> timedelta:
    """
    Return the time that *text* says.

    Raises:
        NotPerformedError: it says none.

    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise NotPerformedError(
            f"--since {text}: must be a number and m, h or d, such as 30m, 24h or 7d"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
