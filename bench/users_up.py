"""Measure `pulumi up` with 7, 100 and 1,000 named users, who have a password resource each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.site import Stack, TooSlowError, temporary_stack

COUNTS = (7, 100, 1000)
SECONDS = 25 * 60.0
"""The time for all steps; a step that is not done by then is stopped and reported."""
ROTATION_SECONDS = 40 * 60.0
"""The time for the rotation of all users, which writes the whole state for every new password."""
PREFIX = "bench-"
ROOM = "paragon/room-{}"


@dataclass
class Step:
    """One command, timed with every number of users."""

    title: str
    run: Callable[[Stack, int, float], float]
    seconds: float | None = None
    """Its timeout; None means the remaining time of all steps."""


def declare(count: int, generation: str = "1") -> Callable[[dict[str, Any]], None]:
    """Return a change that adds users to production's up to *count*, all with *generation*."""

    def change(config: dict[str, Any]) -> None:
        users = config["users"]
        declared = sum(not name.startswith(PREFIX) for name in users)
        for number in range(count - declared):
            room = ROOM.format(number)
            users[f"{PREFIX}{number:04}"] = {
                "read": [f"{room}/commands/#"],
                "write": [f"{room}/sensors/#"],
            }
        for user in users.values():
            user["generation"] = generation

    return change


def first(stack: Stack, count: int, timeout: float) -> float:
    stack.edit(declare(count))
    return stack.up(timeout)


def unchanged(stack: Stack, _count: int, timeout: float) -> float:
    return stack.preview(timeout)


def one_more(stack: Stack, count: int, timeout: float) -> float:
    stack.edit(declare(count + 1))
    return stack.up(timeout)


def rotated(stack: Stack, count: int, timeout: float) -> float:
    stack.edit(declare(count + 1, generation="2"))
    return stack.up(timeout)


STEPS = (
    Step("first `pulumi up`", first),
    Step("`pulumi preview` without a change", unchanged),
    Step("`pulumi up` with one more user", one_more),
    Step("`pulumi up` that rotates all", rotated, ROTATION_SECONDS),
)


def measure(count: int, deadline: float) -> dict[str, float]:
    """Return the seconds of the steps that were done in time, in order."""
    seconds: dict[str, float] = {}
    with temporary_stack(f"users-{count}") as stack:
        for step in STEPS:
            try:
                timeout = step.seconds or deadline - time.monotonic()
                seconds[step.title] = step.run(stack, count, timeout)
            except TooSlowError:
                break
            assert stack.accepts_login("admin")
    return seconds


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md."""
    deadline = time.monotonic() + SECONDS
    measured = {count: measure(count, deadline) for count in COUNTS}
    for step in STEPS:
        times = {
            count: seconds[step.title]
            for count, seconds in measured.items()
            if step.title in seconds
        }
        late = f"more than {step.seconds:,.0f} s" if step.seconds else "not in time"
        figures = ", ".join(
            f"{count:,}: {times[count]:.1f} s" if count in times else f"{count:,}: {late}"
            for count in COUNTS
        )
        (few, small), (many, large) = (list(times.items())[index] for index in (0, -1))
        print(
            f"| {step.title}, {many:,} users against {few} | {large / small:.1f} times "
            f"| {figures} |"
        )


if __name__ == "__main__":
    main()
