"""`make env`: what plain `pulumi` needs, as lines for a shell to eval."""

import os
import shlex

from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Stack, arguments


def main() -> None:
    """Print one `export` a line. Paths only; a passphrase stays in its file."""
    given = arguments("Print what plain `pulumi` needs.").parse_args()
    pulumi = Pulumi.ready(Stack.read(given.stack))
    for name, value in pulumi.additions.items():
        if name == "PATH":
            added = value.removesuffix(os.environ.get("PATH", ""))
            print(f'export PATH={shlex.quote(added)}"$PATH"')
        else:
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    finish(main)
