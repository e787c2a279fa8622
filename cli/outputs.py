"""`make outputs`: what the stack gives back; secrets only where they are asked for."""

from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Stack, arguments


def main() -> None:
    """Run `pulumi stack output`."""
    parser = arguments("Show the stack's outputs.")
    parser.add_argument("--show-secrets", action="store_true")
    given = parser.parse_args()
    secrets = ["--show-secrets"] if given.show_secrets else []
    Pulumi.ready(Stack.read(given.stack)).run("stack", "output", "--stack", given.stack, *secrets)


if __name__ == "__main__":
    finish(main)
