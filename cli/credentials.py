"""`make credentials`, `make password`: how a user logs in, on stdout or in files of mode 0600."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from broker.credentials.env_files import misreaders, render_env, render_header, why_misread
from broker.credentials.fleets import member_passwords
from broker.settings.stack_settings import Settings
from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.stack import Refusal, Stack, arguments

_SUFFIX = {"env": ".env", "header": ".h"}


def main() -> None:
    """Print one login, or write all of them into a folder."""
    parser = arguments("Say how users log in.")
    parser.add_argument("--user", default="")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="a file a user, mode 0600")
    parser.add_argument("--format", choices=["env", "header"], default="env")
    parser.add_argument("--only-password", action="store_true")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    if given.all is None:
        _known(given.user, stack)
    logins = all_logins(stack.settings, Pulumi.ready(stack).outputs())
    if given.all is not None:
        left_out = write_all(stack.settings, logins, given.all, given.format)
        written = len(logins) - len(left_out)
        print(f"{written} files, mode 0600: {given.all}", file=sys.stderr)
        if left_out:
            raise Refusal(
                "\n".join(f"No file for USER={user}: {why}" for user, why in left_out.items())
            )
        return
    if given.user not in logins:
        raise Refusal(f"USER={given.user}: not up yet. Run: make up STACK={stack.name}")
    if given.only_password:
        print(logins[given.user].password)
    elif given.format == "env" and (why := _unfit(logins[given.user])):
        raise Refusal(f"USER={given.user}: {why}")
    else:
        sys.stdout.write(_render(stack.settings, logins[given.user], given.format))


class Credential(NamedTuple):
    """What a client logs in with."""

    username: str
    password: str


def all_logins(settings: Settings, outputs: Mapping[str, Any]) -> dict[str, Credential]:
    """Return what every user and fleet member that is up logs in with, by name."""
    users = {
        name: Credential(each["username"], each["password"])
        for name, each in outputs.get("credentials", {}).items()
    }
    seeds = outputs.get("fleetSeeds", {})
    up = {kind: fleet for kind, fleet in settings.fleets.items() if kind in seeds}
    members = member_passwords(up, seeds, settings.broker.passwords.length)
    return users | {name: Credential(name, each) for name, each in members.items()}


def write_all(
    settings: Settings, logins: Mapping[str, Credential], folder: Path, format_: str
) -> dict[str, str]:
    """
    Write a file a user; nobody else may read them at any moment.

    Return who has none because an env file can't hold the password, and why.
    """
    left_out: dict[str, str] = {}
    # One that was there keeps its mode: it may be anybody's, and the files are closed themselves.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, each in logins.items():
        file = folder / f"{name}{_SUFFIX[format_]}"
        file.unlink(missing_ok=True)
        if format_ == "env" and (why := _unfit(each)):
            left_out[name] = why
            continue
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as text:
            text.write(_render(settings, each, format_))
    return left_out


def _unfit(login: Credential) -> str:
    """Return why an env file can't hold a login, and what can; nothing where one can."""
    readers = misreaders(login.password)
    return f"the password {why_misread(readers)}. FORMAT=header holds it" if readers else ""


def _render(settings: Settings, login: Credential, format_: str) -> str:
    listener = settings.broker.dialled_listener()
    render = render_env if format_ == "env" else render_header
    return render(settings.broker, listener, login.username, login.password)


def check_declared(user: str, stack: Stack) -> None:
    """
    Pass a user, or a member of a fleet.

    Raises:
        Refusal: there is none of that name.

    """
    fleets = stack.settings.fleets.values()
    names = [*stack.settings.users, *(each for fleet in fleets for each in fleet.admitted)]
    if user not in names:
        guess = get_close_matches(user, names, n=1)
        users = ", ".join(stack.settings.users)
        hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {users}."
        raise Refusal(f"USER={user}: no such user in {stack.file.name}. {hint}")


def _known(user: str, stack: Stack) -> None:
    check_declared(user, stack)
    declared = stack.settings.users.get(user)
    if declared is not None and not declared.password_known:
        raise Refusal(
            f"USER={user}: was adopted with its hash; only its clients know the password. For a "
            f"new one: make rotate STACK={stack.name} USER={user}"
        )


if __name__ == "__main__":
    finish(main)
