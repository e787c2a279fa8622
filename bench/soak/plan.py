"""When which disturbance begins, and whether the subscriber is there to see it."""

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
"""One round. Their number is odd: each comes in turn with and without the subscriber."""
SETTLED = KINDS[:4]
"""Through these the broker runs, and has room: each save is on time."""
ROUND = 120.0
"""Seconds in which one round can be done."""
MOST_MINUTES, MOST_CLIENTS = 120, 500


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One disturbance."""

    at: float
    """Seconds after the start; or as soon as the one before is over."""
    kind: str
    away: bool
    """The subscriber leaves before it, and comes back after it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, and how many."""

    minutes: float
    clients: int

    @classmethod
    def parse(cls, minutes: str, clients: str) -> Plan:
        """
        Read what was typed.

        Raises:
            CommandError: a value is no number, or out of its bounds.

        """
        return cls(
            minutes=_bounded(
                "minutes", minutes, "a number of minutes", most=MOST_MINUTES, such_as="10"
            ),
            clients=int(
                _bounded("clients", clients, "a whole number", most=MOST_CLIENTS, such_as="200")
            ),
        )

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def slots(self) -> list[Slot]:
        """Each kind at least once, evenly over the time; the first kill finds messages queued."""
        count = max(1, int(self.seconds // ROUND)) * len(KINDS)
        return [
            Slot(
                at=number * self.seconds / count,
                kind=KINDS[number % len(KINDS)],
                away=number % 2 == 0,
            )
            for number in range(count)
        ]


def _bounded(name: str, text: str, what: str, *, most: int, such_as: str) -> float:
    try:
        value = float(int(text) if what.startswith("a whole") else text)
    except ValueError:
        value = 0.0
    # Not "value <= 0 or value > most": nan is neither.
    if not 0 < value <= most:
        raise CommandError(
            f"--{name} {text}: must be {what} above 0, and {most} at most. "
            f"For example: .venv/bin/python -m bench.soak --{name} {such_as}"
        )
    return value
