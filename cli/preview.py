"""`make preview`: what `make up` would change, line by line; nothing is touched."""

from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Stack, arguments


def main() -> None:
    """Run `pulumi preview --diff`."""
    given = arguments("Show what `make up` would change.").parse_args()
    stack = Stack.read(given.stack)
    stack.refuse_secrets_in_clear()
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    pulumi.run("preview", "--stack", given.stack, "--diff")


if __name__ == "__main__":
    finish(main)
