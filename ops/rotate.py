"""`make rotate`: new passwords for the named users; nobody else is disconnected."""

from __future__ import annotations

from difflib import get_close_matches

from broker.settings import PROJECT, Settings
from ops.command import finish
from ops.pulumi import Pulumi
from ops.stack import Refusal, Stack, arguments


def main() -> None:
    """Raise generations in the stack file, show what follows from it, and bring it about."""
    parser = arguments("Give users new passwords.")
    parser.add_argument("--users", default="", help="names, with commas; of users or fleets")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--yes", action="store_true", help="do not ask, also for other stacks")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    named = [each for each in given.users.split(",") if each]
    if given.all == bool(named):
        raise Refusal("say USER=name,name or ALL=1")
    raised = raise_generations(stack.settings, named, stack.file.name)
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    # As `pulumi config set --path` writes it: comments and order stay as they are.
    pairs = [word for key, value in raised.items() for word in ("--plaintext", f"{key}={value}")]
    pulumi.ask("config", "set-all", "--stack", stack.name, "--path", *pairs)
    print(f"{stack.file.name}: {', '.join(raised)} raised. Their clients will be disconnected:")
    for key in raised:
        print(f"  {key.split('.', 1)[1].rpartition('.')[0]}")
    pulumi.run("preview", "--stack", stack.name)
    sure = given.yes or pulumi.backend.ours
    pulumi.run("up", "--stack", stack.name, *(["--yes", "--skip-preview"] if sure else []))


def raise_generations(settings: Settings, named: list[str], file: str) -> dict[str, str]:
    """
    Return the keys of the stack file to be written, with the generation that follows.

    All of them where none is *named*.

    Raises:
        Refusal: a name is neither a user's nor a fleet's.

    """
    now = {
        name: (f"users.{_quoted(name)}", each.generation) for name, each in settings.users.items()
    }
    for kind, fleet in settings.fleets.items():
        now.setdefault(kind, (f"fleets.{_quoted(kind)}", fleet.generation))
    for name in named:
        if name not in now:
            guess = get_close_matches(name, now, n=1)
            hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {', '.join(now)}."
            raise Refusal(f"USER={name}: no such user or fleet in {file}. {hint}")
    return {
        f"{PROJECT}:{now[name][0]}.generation": following(now[name][1]) for name in (named or now)
    }


def following(generation: str) -> str:
    """Return the generation after *generation*: 2 after 1, 2026-11.1 after 2026-11."""
    if generation.isdecimal():
        return str(int(generation) + 1)
    stem, dot, last = generation.rpartition(".")
    if dot and last.isdecimal():
        return f"{stem}.{int(last) + 1}"
    return f"{generation}.1"


def _quoted(name: str) -> str:
    """Return *name* as a segment of a path (`pulumi config set --path`)."""
    return f'"{name}"' if set(name) & set(".@-") else name


if __name__ == "__main__":
    finish(main)
