"""Refused logins and denied messages, counted, and whether they are too many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.logs.log_parser import Count, LogSummary
from broker.settings.stack_settings import Settings


def total(counts: Mapping[tuple[str, str], Count]) -> int:
    return sum(each.times for each in counts.values())


def worst_address(seen: LogSummary) -> tuple[str, int]:
    """Return the address that was refused most often, and how often."""
    by_address: dict[str, int] = {}
    for (_, address), count in seen.refused.items():
        by_address[address] = by_address.get(address, 0) + count.times
    return max(by_address.items(), key=lambda each: each[1], default=("", 0))


def too_many(settings: Settings, seen: LogSummary) -> str:
    """Return a sentence where an hour had more refused logins than is declared."""
    most = settings.broker.logging.refused_per_hour
    hour, times = seen.worst_hour()
    if hour is None or times <= most:
        return ""
    address, by_it = worst_address(seen)
    return (
        f"{times} logins were refused in the hour from {hour:%Y-%m-%d %H:%M}Z, more than "
        f"broker.logging.refusedPerHour ({most}) allows; the most from {address} ({by_it} in all)"
    )


def as_data(settings: Settings, seen: LogSummary) -> dict[str, Any]:
    """Return the counts."""
    _, times = seen.worst_hour()
    return {
        "since": f"{seen.since:%Y-%m-%dT%H:%M:%SZ}",
        "refused": _rows(seen.refused),
        "denied": _rows(seen.denied),
        "deniedAreLogged": "debug" in settings.broker.logging.types,
        "mostInAnHour": times,
        "allowedInAnHour": settings.broker.logging.refused_per_hour,
    }


def _rows(counts: Mapping[tuple[str, str], Count]) -> list[dict[str, Any]]:
    return [
        {
            "user": user,
            "address": address,
            "times": count.times,
            "last": f"{count.last:%Y-%m-%dT%H:%M:%SZ}",
        }
        for (user, address), count in sorted(counts.items(), key=lambda each: -each[1].times)
    ]


def render_refusals(settings: Settings, seen: LogSummary) -> list[str]:
    """Return the lines, the most frequent first."""
    data = as_data(settings, seen)
    lines = [f"refused logins since {data['since']}: {total(seen.refused)}"]
    lines += [_line(each) for each in data["refused"]]
    if data["deniedAreLogged"]:
        lines.append(f"messages that no rule granted: {total(seen.denied)}")
        lines += [_line(each) for each in data["denied"]]
    else:
        lines.append(
            "messages that no rule granted: not logged; they are with 'debug' in "
            "broker.logging.types, beside a line for each packet"
        )
    return lines


def _line(row: Mapping[str, Any]) -> str:
    return f"  {row['times']} {row['user']} from {row['address']}, last {row['last']}"
