"""The plan of a run: when each disturbance begins, and whether the subscriber is connected."""

from __future__ import annotations

from dataclasses import dataclass

from cli.errors import CommandError

KINDS = (
    "reload",
    "rotate another user",
    "rotate publishers",
    "backup",
    "kill -9",
    "restart Docker",
    "fill the disk",
)
"""One round. The number is odd, so that each kind alternates with and without the subscriber."""
SETTLED = KINDS[:4]
"""Disturbances during which the broker runs and the disk has room, so that saves are on time."""
ROUND = 120.0
"""Seconds for one round."""
MOST_MINUTES, MOST_CLIENTS = 120, 500


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One disturbance."""

    at: float
    """Seconds after the start; later if the previous disturbance takes longer."""
    kind: str
    away: bool
    """Whether the subscriber disconnects before it and reconnects after it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The duration of a run and the number of publishers."""

    minutes: float
    clients: int

    @classmethod
    def parse(cls, minutes: str, clients: str) -> Plan:
        """
        Parse the options.

        Raises:
            CommandError: a value is not a number, or out of range.

        """
        return cls(
            minutes=_bounded(
                "minutes", minutes, "a number of minutes", most=MOST_MINUTES, example="10"
            ),
            clients=int(
                _bounded("clients", clients, "a whole number", most=MOST_CLIENTS, example="200")
            ),
        )

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def slots(self) -> list[Slot]:
        """Every kind at least once, evenly distributed; at the first kill, messages are queued."""
        count = max(1, int(self.seconds // ROUND)) * len(KINDS)
        return [
            Slot(
                at=number * self.seconds / count,
                kind=KINDS[number % len(KINDS)],
                away=number % 2 == 0,
            )
            for number in range(count)
        ]


def _bounded(name: str, text: str, kind: str, *, most: int, example: str) -> float:
    try:
        value = float(int(text) if kind.startswith("a whole") else text)
    except ValueError:
        value = 0.0
    # Not "value <= 0 or value > most", which is false for nan.
    if not 0 < value <= most:
        raise CommandError(
            f"--{name} {text}: must be {kind} above 0, and {most} at most. "
            f"For example: .venv/bin/python -m bench.soak --{name} {example}"
        )
    return value
