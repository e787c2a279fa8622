"""Remove the broker, and its data, logs and passwords only on request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from broker.host.layout import erase_calls
from broker.host.scripts import HostScript
from cli.errors import CommandError, NotPerformedError
from cli.lifecycle.leftovers import look_for_leftovers, require_none
from cli.lifecycle.owner import require_own_broker
from cli.pulumi import Pulumi
from cli.run_on_host import run_scripts
from cli.stack import Stack

PASSWORDS = ("**random:index/**", "**sentient-mqtt:index:Rotations**")
"""URNs of the generated passwords, and of the resource that records their age."""

SEED = "$random:index/randomPassword:RandomPassword::credentials.salts"
"""End of the URN of a protected resource (components/credentials.py); it stops `pulumi destroy`."""

SECONDS = 600


def take_down(
    stack: Stack,
    *,
    delete_data: bool,
    delete_passwords: bool,
    sure: bool,
    result: dict[str, Any],
) -> None:
    """
    Run `pulumi destroy`, look whether it removed everything, and delete the data folders if
    *delete_data*.

    *result* is filled with what was deleted and what was kept.

    Raises:
        CommandError: not everything was removed.

    """
    pulumi = Pulumi.ready(stack)
    require_own_broker(stack, pulumi)
    # Read before the destroy: afterwards the stack has no outputs.
    outputs = pulumi.outputs()
    words = ["--yes", "--skip-preview"] if sure or pulumi.backend.local_passphrase else []
    unprotected: list[str] = []
    if delete_passwords:
        unprotected = _protected_seeds(pulumi)
        _set_protection(pulumi, "unprotect", unprotected)
    else:
        # Without a refresh, resources that Pulumi does not know to be gone, such as those of a lost
        # host, would be an error.
        words += ["--refresh", *(word for urn in PASSWORDS for word in ("--exclude", urn))]
    try:
        pulumi.run("destroy", "--stack", stack.name, *words)
    except CommandError:
        remaining = _seeds(pulumi)
        _set_protection(pulumi, "protect", [urn for urn in unprotected if urn in remaining])
        raise
    image = outputs.get("image", stack.settings.broker.image)
    left = look_for_leftovers(stack, image)
    folders = stack.settings.broker.folders
    result |= {
        "stack": stack.name,
        "container": stack.settings.broker.container,
        "folders": {"data": folders.data, "log": folders.log},
        "dataDeleted": False,
        "passwordsDeleted": delete_passwords,
        "left": [leftover.text for leftover in left],
    }
    require_none(stack, left)
    print(f"Removed from {stack.transport.host}: container, network, firewall rules and files.")
    if delete_passwords:
        print("Deleted: every password. The next `up` generates new ones.")
    else:
        print(
            f"Kept: every password. ./brokerctl up --stack {stack.name} brings the broker back "
            "with them."
        )
    if delete_data:
        kept = _erase(stack, image)
        print(f"Deleted: what the broker wrote in {folders.data} and {folders.log}.")
        print(kept, end="")
        result |= {"dataDeleted": True, "notes": kept.splitlines()}
    else:
        print(f"Kept: {folders.data} and {folders.log}. --delete-data deletes them.")


def require_name(stack: Stack, confirmed: str) -> None:
    """
    Return if the name of the stack was typed, now or as ``--confirm``.

    Raises:
        NotPerformedError: another name was typed, or there is no terminal to ask on.

    """
    if not confirmed:
        broker = stack.settings.broker
        print(f"This removes {broker.container} on {broker.host}; every client is disconnected.")
        try:
            confirmed = input(f"Type the name of the stack ({stack.name}) to go on: ").strip()
        except EOFError:
            raise NotPerformedError(
                f"nothing was removed: there is no terminal to type the name of the stack on. Add "
                f"--confirm {stack.name}"
            ) from None
    if confirmed != stack.name:
        raise NotPerformedError(f"nothing was removed: {confirmed!r} is not {stack.name!r}.")


def _seeds(pulumi: Pulumi) -> dict[str, bool]:
    """Return the URN of each seed of the salts in the state, and whether it is protected."""
    state = json.loads(pulumi.ask("stack", "export", "--stack", pulumi.stack.name))
    return {
        resource["urn"]: bool(resource.get("protect"))
        for resource in (state.get("deployment") or {}).get("resources", [])
        if resource["urn"].endswith(SEED)
    }


def _protected_seeds(pulumi: Pulumi) -> list[str]:
    return [urn for urn, protected in _seeds(pulumi).items() if protected]


def _set_protection(pulumi: Pulumi, word: str, urns: Iterable[str]) -> None:
    for urn in urns:
        pulumi.ask("state", word, urn, "--yes", "--stack", pulumi.stack.name)


def _erase(stack: Stack, image: str) -> str:
    """Delete the broker's files, and return a line per folder that still has other files."""
    broker = stack.settings.broker
    calls = erase_calls(broker, stack.transport.socket, image)
    try:
        result = run_scripts(
            stack,
            (HostScript.DELETE_FILES,),
            calls,
            action="apply",
            image=image,
            seconds=SECONDS,
        )
    except CommandError as error:
        raise CommandError(f"--delete-data: {error}") from None
    if result.exit_code:
        raise CommandError(f"--delete-data: {result.stderr.strip()}")
    return result.stdout
