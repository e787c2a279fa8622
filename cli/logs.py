"""`make logs`: the broker's last lines, and those to come."""

from cli.docker import ask, show
from cli.exit_codes import finish
from cli.stack import Stack, arguments


def main() -> None:
    """Run `docker logs` on the host."""
    parser = arguments("Show the broker's log.")
    parser.add_argument("--lines", type=int, default=100)
    parser.add_argument("--follow", action="store_true")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    container = stack.settings.broker.container
    # Docker's own sentence would stand among the broker's.
    ask(stack, "inspect", "--format", "{{.Id}}", container)
    follow = ["--follow"] if given.follow else []
    show(stack, "logs", "--tail", str(given.lines), *follow, container)


if __name__ == "__main__":
    finish(main)
