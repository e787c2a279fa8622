"""Give users new passwords, without disconnecting any other user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from broker.credentials.logins import disconnected, stamps
from broker.credentials.password_ages import set_password_fix
from broker.settings.stack_settings import PROJECT, Settings
from cli.deployment_state import require_up
from cli.errors import CommandError, NotPerformedError
from cli.lifecycle.unfinished import unfinished
from cli.mqtt_client import stack_ca
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.terminal import confirm
from cli.users.credentials import all_logins
from cli.users.verify_rotation import require_rotated, verify_rotation

LOGINS_SHOWN = 20


def rotate(
    stack: Stack,
    named: list[str],
    *,
    end_previous: bool,
    sure: bool,
    result: dict[str, Any],
) -> None:
    """
    Raise generations in the stack file, show the preview, and apply it.

    Rotates all users and fleets if none is *named*. *end_previous* revokes the login before the
    newest instead. Ends with logins: the new passwords must be accepted, the former ones refused.
    *result* is filled when `pulumi up` begins.

    Raises:
        CommandError: a failure before `pulumi up`, which restores the stack file, or in it; or the
            broker does not answer as the rotation requires.

    """
    stack.refuse_secrets_in_clear()
    change = revoke_previous if end_previous else raise_generations
    keys = change(stack.settings, named, stack.file.name)
    require_up(stack)
    skipped = [] if named or end_previous else with_external_password(stack.settings)
    if skipped:
        print(f"Not rotated, because their passwords are supplied: {', '.join(skipped)}.")
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    former = all_logins(stack.settings, pulumi.outputs())
    with _restore_on_failure(stack.file):
        # `pulumi config` keeps comments and order.
        words = [word for key, value in keys.items() for word in ("--plaintext", f"{key}={value}")]
        pulumi.ask("config", "set-all", "--stack", stack.name, "--path", *words)
        changes = ", ".join(f"{key} is now {value}" for key, value in keys.items())
        print(f"{stack.file.name}: {changes}.")
        logins = disconnected(stamps(stack.settings), stamps(Stack.read(stack.name).settings))
        print(
            "Clients of these logins will be disconnected:" if logins else "Nobody is disconnected."
        )
        for name in logins[:LOGINS_SHOWN]:
            print(f"  {name}")
        if logins[LOGINS_SHOWN:]:
            print(f"  and {len(logins) - LOGINS_SHOWN:,} more")
        pulumi.run("preview", "--stack", stack.name)
        if not (sure or pulumi.backend.local_passphrase or confirm("Rotate?")):
            raise CommandError("nothing was rotated: the answer was not yes (--yes doesn't ask).")
    result |= {
        "stack": stack.name,
        "changed": keys,
        "disconnected": logins,
        "skipped": skipped,
        "applied": False,
    }
    # From here on the change may be applied in part, so the stack file stays as it is.
    with unfinished(stack, pulumi.environ):
        if pulumi.run("up", "--stack", stack.name, "--yes", "--skip-preview", check=False):
            raise CommandError(
                f"pulumi up failed; its message is above. {stack.file.name} has the new "
                f"generations: fix the cause, then ./brokerctl up --stack {stack.name} applies "
                "them."
            )
    result["applied"] = True
    outputs = pulumi.outputs()
    rotated = all_logins(Stack.read(stack.name).settings, outputs)
    seen = verify_rotation(stack, former, rotated, stack_ca(outputs))
    result |= {"newAccepted": seen.tried, "formerRefused": seen.refused}
    require_rotated(stack, seen)
    if seen.of:
        print(seen.text)


@contextmanager
def _restore_on_failure(file: Path) -> Iterator[None]:
    before = file.read_text(encoding="utf-8")
    try:
        yield
    except BaseException:
        if file.read_text(encoding="utf-8") != before:
            file.write_text(before, encoding="utf-8")
            print(f"{file.name}: restored.")
        raise


def raise_generations(settings: Settings, named: list[str], file: str) -> dict[str, str]:
    """
    Return the keys of the stack file to change, with their new values.

    Covers all users and fleets if none is *named*, except users with an external password.

    Raises:
        NotPerformedError: there is no such user or fleet, or its password is supplied.

    """
    keys: dict[str, str] = {}
    for name in named:
        if name in with_external_password(settings):
            raise NotPerformedError(
                f"user {name}: its password is supplied. {set_password_fix(name)}"
            )
        keys |= _raised(settings, name, file)
    if not named:
        for name in settings.users:
            if name not in with_external_password(settings):
                keys |= _raised(settings, name, file)
        # A fleet may have the name of a user, so not through _raised.
        for kind, fleet in settings.fleets.items():
            keys[_path("fleets", kind, "generation")] = next_generation(fleet.generation)
    return {f"{PROJECT}:{key}": value for key, value in keys.items()}


def with_external_password(settings: Settings) -> list[str]:
    """Return the users whose password is set in the stack's secrets, not generated."""
    return [name for name, user in settings.users.items() if user.password == "supplied"]  # noqa: S105 (a kind, no password)


def revoke_previous(settings: Settings, named: list[str], file: str) -> dict[str, str]:
    """
    Return the keys that revoke the login before the newest, for users with overlapping rotation.

    Raises:
        NotPerformedError: a user does not exist, or has no overlapping rotation.

    """
    overlapping = {name for name, user in settings.users.items() if user.rotation == "overlap"}
    for name in named:
        if name not in overlapping:
            hint = (
                f"There are: {', '.join(sorted(overlapping))}."
                if overlapping
                else "No user has one."
            )
            raise NotPerformedError(f"user {name}: has no rotation 'overlap' in {file}. {hint}")
    return {
        f"{PROJECT}:{_path('users', name, 'previous')}": "revoke"
        for name in named or sorted(overlapping)
    }


def _raised(settings: Settings, name: str, file: str) -> dict[str, str]:
    if user := settings.users.get(name):
        keys = {_path("users", name, "generation"): next_generation(user.generation)}
        if not user.password_known:
            # Only its hash was known. From now on the password is generated.
            keys[_path("users", name, "password")] = "generated"
        if user.previous == "revoke":
            keys[_path("users", name, "previous")] = "keep"
        return keys
    # The output `rotations` writes fleet.NAME, because a user may have the same name.
    kind = name.removeprefix("fleet.")
    if fleet := settings.fleets.get(kind):
        return {_path("fleets", kind, "generation"): next_generation(fleet.generation)}
    for kind, fleet in settings.fleets.items():
        if name in fleet.admitted:
            override = fleet.overrides.get(name)
            current = (override and override.generation) or fleet.generation
            path = _path("fleets", kind, "overrides", name, "generation")
            return {path: next_generation(current)}
    raise _no_such_user(settings, name, file)


def _no_such_user(settings: Settings, name: str, file: str) -> NotPerformedError:
    users_and_fleets = [*settings.users, *settings.fleets]
    members = [member for fleet in settings.fleets.values() for member in fleet.admitted]
    guess = get_close_matches(name, [*users_and_fleets, *members], n=1)
    hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {', '.join(users_and_fleets)}."
    return NotPerformedError(f"user {name}: no such user or fleet in {file}. {hint}")


def next_generation(generation: str) -> str:
    """Return the generation after *generation*, such as 2 after 1 and 2026-11.1 after 2026-11."""
    if generation.isdecimal():
        return str(int(generation) + 1)
    stem, dot, last = generation.rpartition(".")
    if dot and last.isdecimal():
        return f"{stem}.{int(last) + 1}"
    return f"{generation}.1"


def _path(*segments: str) -> str:
    """Return the path to a key of the stack file (`pulumi config set --path`)."""
    first, *rest = segments
    return first + "".join(f".{key}" if key.isidentifier() else f'["{key}"]' for key in rest)
