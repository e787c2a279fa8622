"""Compare `pulumi up` and the state with a fleet of 10,000 members and with one of 10."""

from typing import Any

from bench.site import temporary_stack

SMALL, LARGE = 10, 10_000
RUNS = 2
BOUND = 2.0


def measure(members: int) -> tuple[float, int]:
    """Return the seconds of a first `pulumi up`, the best of two, and the bytes of the state."""

    def declare(config: dict[str, Any]) -> None:
        config["fleets"] = {
            "teensy": {"count": members, "prefix": "teensy-", "write": ["paragon/%u/sensors/#"]}
        }

    runs: list[tuple[float, int]] = []
    for _ in range(RUNS):
        with temporary_stack("fleet") as stack:
            stack.edit(declare)
            runs.append((stack.up(), stack.checkpoint_bytes))
            assert stack.accepts_login("admin")
    return min(runs)


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md; fail above the bound."""
    (small, small_state), (large, large_state) = measure(SMALL), measure(LARGE)
    sizes = f"a fleet of {LARGE:,} against one of {SMALL}"
    print(
        f"| first `pulumi up`, {sizes} | {large / small:.2f} times (bound: {BOUND:.0f}) | "
        f"{large:.1f} s against {small:.1f} s |"
    )
    per_member = (large_state - small_state) / (LARGE - SMALL)
    print(
        f"| the state after it | {large_state / small_state:.1f} times | "
        f"{large_state / 1000:,.0f} kB against {small_state / 1000:,.0f} kB: "
        f"{per_member:.0f} bytes per member |"
    )
    assert large <= BOUND * small, f"{large:.1f} s is more than {BOUND:.0f} times {small:.1f} s"


if __name__ == "__main__":
    main()
