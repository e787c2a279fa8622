"""`make refused`: refused logins and denied messages, by user and address."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from broker.logs.authentication_failures import as_data, render_refusals, too_many
from cli.broker_log import read_log
from cli.exit_codes import finish
from cli.stack import Refusal, Stack, arguments

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def main() -> None:
    """Print the counts, and fail where an hour had more than the settings allow."""
    parser = arguments("Count refused logins and denied messages.")
    parser.add_argument("--since", default="24h", help="30m, 24h, 7d")
    parser.add_argument("--format", choices=["text", "json"], default="text")
    given = parser.parse_args()
    since = datetime.now(UTC) - span(given.since)
    stack = Stack.read(given.stack)
    seen = read_log(stack, since=since)
    if given.format == "json":
        print(json.dumps(as_data(stack.settings, seen), indent=2))
    else:
        for each in render_refusals(stack.settings, seen):
            print(each)
    if said := too_many(stack.settings, seen):
        raise Refusal(
            f"{said}. A client with an old password? make inventory STACK={stack.name} tells who "
            f"is silent; a stranger? make firewall STACK={stack.name} tells who may come"
        )


def span(text: str) -> timedelta:
    """
    Return the time that *text* says.

    Raises:
        Refusal: it says none.

    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise Refusal(f"SINCE={text}: must be a number and m, h or d, such as 30m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


if __name__ == "__main__":
    finish(main)
