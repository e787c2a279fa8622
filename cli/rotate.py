"""New passwords for the named users; nobody else is disconnected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from broker.credentials.logins import disconnected, stamps
from broker.credentials.password_ages import set_another
from broker.settings.stack_settings import PROJECT, Settings
from cli.deployed import require_up
from cli.pulumi import Pulumi
from cli.refusals import NotAsked, Refusal
from cli.stack import Stack

MOST = 20


def rotate(stack: Stack, named: list[str], *, end_previous: bool, sure: bool) -> None:
    """
    Raise generations in the stack file, show what follows from it, and bring it about.

    For all users and fleets where none is *named*. With *end_previous* the login before the newest
    is ended instead.

    Raises:
        Refusal: what is wrong; the stack file is then as it was, unless `pulumi up` has begun.

    """
    stack.refuse_secrets_in_clear()
    change = revoke_previous if end_previous else raise_generations
    keys = change(stack.settings, named, stack.file.name)
    require_up(stack)
    if not named and not end_previous and (left := chosen(stack.settings)):
        print(f"Left as they are, for a person chose the password: {', '.join(left)}.")
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    with _put_back_on_failure(stack.file):
        # As `pulumi config set --path` writes it: comments and order stay as they are.
        pairs = [word for key, value in keys.items() for word in ("--plaintext", f"{key}={value}")]
        pulumi.ask("config", "set-all", "--stack", stack.name, "--path", *pairs)
        print(f"{stack.file.name}: {', '.join(f'{key} is now {it}' for key, it in keys.items())}.")
        gone = disconnected(stamps(stack.settings), stamps(Stack.read(stack.name).settings))
        print(
            "Clients of these logins will be disconnected:" if gone else "Nobody is disconnected."
        )
        for name in gone[:MOST]:
            print(f"  {name}")
        if gone[MOST:]:
            print(f"  and {len(gone) - MOST:,} more")
        pulumi.run("preview", "--stack", stack.name)
        if not (sure or pulumi.backend.local_passphrase or _agreed()):
            raise Refusal("nothing was rotated: the answer was not yes (--yes doesn't ask).")
    # From here on some of it may have happened, and the file says what.
    if pulumi.run("up", "--stack", stack.name, "--yes", "--skip-preview", check=False):
        raise Refusal(
            f"pulumi up failed; its message is above. {stack.file.name} says what is to be: once "
            f"that is mended, ./brokerctl up --stack {stack.name} goes on from here."
        )


@contextmanager
def _put_back_on_failure(file: Path) -> Iterator[None]:
    before = file.read_text(encoding="utf-8")
    try:
        yield
    except BaseException:
        if file.read_text(encoding="utf-8") != before:
            file.write_text(before, encoding="utf-8")
            print(f"{file.name}: is as it was before.")
        raise


def _agreed() -> bool:
    """Ask the person; nobody there is no agreement."""
    try:
        return input("Rotate? (yes/no) ").strip() == "yes"
    except EOFError:
        return False


def raise_generations(settings: Settings, named: list[str], file: str) -> dict[str, str]:
    """
    Return the keys of the stack file to be written, with the value that follows.

    All users and fleets where none is *named*, but those of ``chosen``.

    Raises:
        Refusal: a name is nobody's, or its password is not ours to draw.

    """
    keys: dict[str, str] = {}
    for name in named:
        if name in chosen(settings):
            raise NotAsked(f"user {name}: its password is supplied. {set_another(name)}")
        keys |= _raised(settings, name, file)
    if not named:
        for name in settings.users:
            keys |= {} if name in chosen(settings) else _raised(settings, name, file)
        # Not by name: a user may have that of a fleet.
        for kind, fleet in settings.fleets.items():
            keys[_path("fleets", kind, "generation")] = following(fleet.generation)
    return {f"{PROJECT}:{key}": value for key, value in keys.items()}


def chosen(settings: Settings) -> list[str]:
    """Return the users whose password a person chose, and has to choose anew."""
    return [name for name, user in settings.users.items() if user.password == "supplied"]  # noqa: S105 (a kind, no password)


def revoke_previous(settings: Settings, named: list[str], file: str) -> dict[str, str]:
    """
    Return the keys that end the login before the newest, for users whose rotation overlaps.

    Raises:
        Refusal: a name is nobody's, or of somebody with one login only.

    """
    two = {name for name, user in settings.users.items() if user.rotation == "overlap"}
    for name in named:
        if name not in two:
            hint = f"There are: {', '.join(sorted(two))}." if two else "Nobody here has."
            raise NotAsked(f"user {name}: has no rotation 'overlap' in {file}. {hint}")
    return {
        f"{PROJECT}:{_path('users', name, 'previous')}": "revoke" for name in named or sorted(two)
    }


def _raised(settings: Settings, name: str, file: str) -> dict[str, str]:
    if user := settings.users.get(name):
        keys = {_path("users", name, "generation"): following(user.generation)}
        if not user.password_known:
            # Nobody knows what it was: from now on it is drawn.
            keys[_path("users", name, "password")] = "generated"
        if user.previous == "revoke":
            keys[_path("users", name, "previous")] = "keep"
        return keys
    # As the output `rotations` calls it, where a user has the name of a fleet.
    kind = name.removeprefix("fleet.")
    if fleet := settings.fleets.get(kind):
        return {_path("fleets", kind, "generation"): following(fleet.generation)}
    for kind, each in settings.fleets.items():
        if name in each.admitted:
            override = each.overrides.get(name)
            now = (override and override.generation) or each.generation
            return {_path("fleets", kind, "overrides", name, "generation"): following(now)}
    everybody = [*settings.users, *settings.fleets]
    everybody += [member for each in settings.fleets.values() for member in each.admitted]
    guess = get_close_matches(name, everybody, n=1)
    some = ", ".join((*settings.users, *settings.fleets))
    hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {some}."
    raise NotAsked(f"user {name}: no such user or fleet in {file}. {hint}")


def following(generation: str) -> str:
    """Return the generation after *generation*: 2 after 1, 2026-11.1 after 2026-11."""
    if generation.isdecimal():
        return str(int(generation) + 1)
    stem, dot, last = generation.rpartition(".")
    if dot and last.isdecimal():
        return f"{stem}.{int(last) + 1}"
    return f"{generation}.1"


def _path(*segments: str) -> str:
    """Return the path to a key of the stack file (`pulumi config set --path`)."""
    first, *rest = segments
    return first + "".join(f".{each}" if each.isidentifier() else f'["{each}"]' for each in rest)
