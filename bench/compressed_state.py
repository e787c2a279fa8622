"""Compare `pulumi up` of 100 users and its state, compressed and not compressed."""

from bench.site import temporary_stack
from bench.users_up import declare

USERS = 100
RUNS = 2


def measure(compressed: str) -> tuple[float, float, int]:
    """Return the seconds of a first `up` and of a rotation of all, and the bytes of the state."""
    with temporary_stack("compressed", PULUMI_DIY_BACKEND_ZSTD=compressed) as stack:
        stack.edit(declare(USERS))
        first = stack.up()
        stack.edit(declare(USERS, generation="2"))
        rotated = stack.up()
        assert stack.accepts_login("admin")
        return first, rotated, stack.checkpoint_bytes


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md; take the best of the runs."""
    runs = [(measure("false"), measure("true")) for _ in range(RUNS)]
    plain, compressed = (
        [min(figures) for figures in zip(*kind, strict=True)] for kind in zip(*runs, strict=True)
    )
    titles = ("first `pulumi up`", "`pulumi up` that rotates all")
    for title, slow, fast in zip(titles, plain, compressed, strict=False):
        print(
            f"| {title}, {USERS} users, state not compressed against compressed "
            f"| {slow / fast:.2f} times | {slow:.1f} s against {fast:.1f} s |"
        )
    print(
        f"| the state after it | {plain[2] / compressed[2]:.1f} times "
        f"| {plain[2] / 1000:,.0f} kB against {compressed[2] / 1000:,.0f} kB |"
    )


if __name__ == "__main__":
    main()
