"""`make credentials`, `make password`: one user's login, on stdout and nowhere else."""

import sys
from difflib import get_close_matches

from ops.command import finish
from ops.pulumi import Pulumi
from ops.stack import Refusal, Stack, arguments


def main() -> None:
    """Print the user's env file, or the password alone."""
    parser = arguments("Print how one user logs in.")
    parser.add_argument("--user", default="")
    parser.add_argument("--only-password", action="store_true")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    users = list(stack.settings.users)
    if given.user not in users:
        guess = get_close_matches(given.user, users, n=1)
        hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {', '.join(users)}."
        raise Refusal(f"USER={given.user}: no such user in {stack.file.name}. {hint}")
    outputs = Pulumi.ready(stack).outputs()
    if given.user not in outputs.get("credentials", {}):
        raise Refusal(f"USER={given.user}: not up yet. Run: make up STACK={stack.name}")
    if given.only_password:
        print(outputs["credentials"][given.user]["password"])
    else:
        sys.stdout.write(outputs["envFiles"][given.user])


if __name__ == "__main__":
    finish(main)
