"""Compare the time of the access diff per rule with 100 users and with 10,000."""

import time

from broker.access.diff import diff
from cli.stack import ROOT, Stack

SMALL, LARGE = 100, 10_000
RULES = 5
BOUND = 10.0
"""The highest ratio of the times per rule."""


def stack_file(users: int, *, changed: bool) -> str:
    """Return a stack file with *users* of five rules; *changed* changes a rule of every tenth."""
    head = (ROOT / "Pulumi.dev.yaml").read_text(encoding="utf-8").split("  sentient-mqtt:users:")[0]
    lines = [head, "  sentient-mqtt:users:\n"]
    for number in range(users):
        more = "extra" if changed and number % 10 == 0 else "events"
        lines.append(
            f"    user-{number}:\n"
            f'      read: ["rooms/{number}/commands/#", "rooms/+/announcements"]\n'
            f'      write: ["rooms/{number}/sensors/#", "rooms/{number}/status/#", '
            f'"rooms/{number}/{more}/#"]\n'
        )
    return "".join(lines)


def seconds(users: int) -> float:
    """Return the time to parse and compare two revisions, the best of three."""
    file = ROOT / "Pulumi.dev.yaml"
    texts = [stack_file(users, changed=changed) for changed in (False, True)]
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        before, after = (Stack.parse("dev", file, text).settings for text in texts)
        result = diff("dev", before, after)
        best = min(best, time.perf_counter() - began)
        assert len(result.users) == users / 10
    return best


def main() -> None:
    """Print a row for the table in docs/explanation/bench.md."""
    small, large = seconds(SMALL), seconds(LARGE)
    per_rule = (large / (LARGE * RULES)) / (small / (SMALL * RULES))
    print(
        f"| access diff, {LARGE:,} users and {LARGE * RULES:,} rules against {SMALL} and "
        f"{SMALL * RULES}, per rule | {per_rule:.2f} times (bound: {BOUND:.0f}) | "
        f"{large:.1f} s against {small:.3f} s |"
    )


if __name__ == "__main__":
    main()
