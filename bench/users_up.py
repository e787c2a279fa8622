"""What `pulumi up` takes for 7, 100 and 1,000 named users, a password resource each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.site import Stack, TooSlowError, temporary_stack

COUNTS = (7, 100, 1000)
SECONDS = 25 * 60.0
"""What is not done by then is stopped, and the table says so."""
ROTATION_SECONDS = 40 * 60.0
"""The rotation of all has a time of its own: it writes the whole state for each new password."""
PREFIX = "bench-"
ROOM = "paragon/room-{}"


@dataclass
class Step:
    """One command, timed at each count of users that there was time for."""

    what: str
    run: Callable[[Stack, int, float], float]
    seconds: float | None = None
    """Its own; else what is left of the time of all."""


def declare(count: int, generation: str = "1") -> Callable[[dict[str, Any]], None]:
    """Return a change that fills up production's users to *count*, all of one generation."""

    def change(config: dict[str, Any]) -> None:
        users = config["users"]
        ours = sum(not name.startswith(PREFIX) for name in users)
        for number in range(count - ours):
            room = ROOM.format(number)
            users[f"{PREFIX}{number:04}"] = {
                "read": [f"{room}/commands/#"],
                "write": [f"{room}/sensors/#"],
            }
        for user in users.values():
            user["generation"] = generation

    return change


def first(stack: Stack, count: int, patience: float) -> float:
    stack.edit(declare(count))
    return stack.up(patience)


def unchanged(stack: Stack, _count: int, patience: float) -> float:
    return stack.preview(patience)


def one_more(stack: Stack, count: int, patience: float) -> float:
    stack.edit(declare(count + 1))
    return stack.up(patience)


def rotated(stack: Stack, count: int, patience: float) -> float:
    stack.edit(declare(count + 1, generation="2"))
    return stack.up(patience)


STEPS = (
    Step("first `pulumi up`", first),
    Step("`pulumi preview` of nothing", unchanged),
    Step("`pulumi up` of one user more", one_more),
    Step("`pulumi up` that rotates all", rotated, ROTATION_SECONDS),
)


def measure(count: int, deadline: float) -> dict[str, float]:
    """Return the seconds of each step that was done in time, in order."""
    found: dict[str, float] = {}
    with temporary_stack(f"users-{count}") as stack:
        for step in STEPS:
            try:
                patience = step.seconds or deadline - time.monotonic()
                found[step.what] = step.run(stack, count, patience)
            except TooSlowError:
                break
            assert stack.lets_in("admin")
    return found


def main() -> None:
    """Print lines of the table in docs/explanation/bench.md."""
    deadline = time.monotonic() + SECONDS
    measured = {count: measure(count, deadline) for count in COUNTS}
    for step in STEPS:
        times = {count: each[step.what] for count, each in measured.items() if step.what in each}
        late = f"more than {step.seconds:,.0f} s" if step.seconds else "not in time"
        figures = ", ".join(
            f"{count:,}: {times[count]:.1f} s" if count in times else f"{count:,}: {late}"
            for count in COUNTS
        )
        (few, small), (many, large) = (list(times.items())[each] for each in (0, -1))
        print(
            f"| {step.what}, {many:,} users against {few} | {large / small:.1f} times | {figures} |"
        )


if __name__ == "__main__":
    main()
