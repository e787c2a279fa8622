"""Credentials of users and fleet members, as text or in files of mode 0600."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from broker.credentials.env_files import misreaders, render_env, render_header, why_misread
from broker.credentials.fleets import member_passwords
from broker.settings.stack_settings import Settings
from cli.errors import CommandError, NotPerformedError
from cli.stack import Stack

_SUFFIX = {"env": ".env", "header": ".h"}


class Credential(NamedTuple):
    """The user name and the password of a client."""

    username: str
    password: str


def all_logins(settings: Settings, outputs: Mapping[str, Any]) -> dict[str, Credential]:
    """Return the credential of every user and fleet member in the *outputs*, by name."""
    users = {
        name: Credential(login["username"], login["password"])
        for name, login in outputs.get("credentials", {}).items()
    }
    seeds = outputs.get("fleetSeeds", {})
    deployed = {kind: fleet for kind, fleet in settings.fleets.items() if kind in seeds}
    members = member_passwords(deployed, seeds, settings.broker.passwords.length)
    return users | {name: Credential(name, password) for name, password in members.items()}


def file_name(user: str, format_: str) -> str:
    """Return the name of the file with the login of *user*."""
    return f"{user}{_SUFFIX[format_]}"


def write_all(
    settings: Settings, logins: Mapping[str, Credential], folder: Path, format_: str
) -> dict[str, str]:
    """
    Write a file per user, with mode 0600 from the start.

    Return the users without a file, with the reason: an env file can't hold the password.
    """
    left_out: dict[str, str] = {}
    # An existing folder keeps its mode; the mode of the files protects them.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, login in logins.items():
        file = folder / file_name(name, format_)
        file.unlink(missing_ok=True)
        if format_ == "env" and (why := unfit(login)):
            left_out[name] = why
            continue
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as text:
            text.write(render(settings, login, format_))
    return left_out


def unfit(login: Credential) -> str:
    """Return why an env file can't hold the password, or an empty string if it can."""
    readers = misreaders(login.password)
    return f"the password {why_misread(readers)}. --format header holds it" if readers else ""


def render(settings: Settings, login: Credential, format_: str) -> str:
    listener = settings.broker.dialled_listener()
    form = render_env if format_ == "env" else render_header
    return form(settings.broker, listener, login.username, login.password)


def check_declared(user: str, stack: Stack) -> None:
    """
    Return if *user* is declared, as a user or as a member of a fleet.

    Raises:
        NotPerformedError: there is no such user.

    """
    fleets = stack.settings.fleets.values()
    names = [*stack.settings.users, *(member for fleet in fleets for member in fleet.admitted)]
    if user not in names:
        guess = get_close_matches(user, names, n=1)
        users = ", ".join(stack.settings.users)
        hint = f"Did you mean {guess[0]!r}?" if guess else f"There are: {users}."
        raise NotPerformedError(f"user {user}: no such user in {stack.file.name}. {hint}")


def check_known(user: str, stack: Stack) -> None:
    """
    Return if the stack has the password of *user*.

    Raises:
        CommandError: there is no such user, or it was adopted with the hash of its password.

    """
    check_declared(user, stack)
    declared = stack.settings.users.get(user)
    if declared is not None and not declared.password_known:
        raise CommandError(
            f"user {user}: was adopted with its hash; only its clients know the password. For a "
            f"new one: ./brokerctl rotate {user} --stack {stack.name}"
        )
