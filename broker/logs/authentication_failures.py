"""Count authentication failures and denied messages, and compare them with the limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.logs.log_parser import Count, LogSummary
from broker.settings.stack_settings import Settings


def total(counts: Mapping[tuple[str, str], Count]) -> int:
    return sum(count.times for count in counts.values())


def worst_address(summary: LogSummary) -> tuple[str, int]:
    """Return the address with the most refused logins, and their number."""
    by_address: dict[str, int] = {}
    for (_, address), count in summary.refused.items():
        by_address[address] = by_address.get(address, 0) + count.times
    return max(by_address.items(), key=lambda item: item[1], default=("", 0))


def too_many(settings: Settings, summary: LogSummary) -> str:
    """Return a sentence if more logins were refused in one hour than the limit; else ''."""
    limit = settings.broker.logging.refused_per_hour
    hour, times = summary.worst_hour()
    if hour is None or times <= limit:
        return ""
    address, times_from_it = worst_address(summary)
    return (
        f"{times} logins were refused in the hour from {hour:%Y-%m-%d %H:%M}Z, more than "
        f"broker.logging.refusedPerHour ({limit}) allows; most of them from {address} "
        f"({times_from_it} in total)"
    )


def as_data(settings: Settings, summary: LogSummary) -> dict[str, Any]:
    """Return the counts as data for JSON."""
    _, times = summary.worst_hour()
    return {
        "since": f"{summary.since:%Y-%m-%dT%H:%M:%SZ}",
        "refused": _rows(summary.refused),
        "denied": _rows(summary.denied),
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
        for (user, address), count in sorted(counts.items(), key=lambda item: -item[1].times)
    ]


def render_failures(settings: Settings, summary: LogSummary) -> list[str]:
    """Return the counts as lines, the most frequent first."""
    data = as_data(settings, summary)
    lines = [f"refused logins since {data['since']}: {total(summary.refused)}"]
    lines += [_line(row) for row in data["refused"]]
    if data["deniedAreLogged"]:
        lines.append(f"messages without a matching rule: {total(summary.denied)}")
        lines += [_line(row) for row in data["denied"]]
    else:
        lines.append(
            "messages without a matching rule: not logged. To log them, add 'debug' to "
            "broker.logging.types; it also logs a line for every packet"
        )
    return lines


def _line(row: Mapping[str, Any]) -> str:
    return f"  {row['times']} {row['user']} from {row['address']}, last {row['last']}"
