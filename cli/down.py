"""Take the broker away; its data, its logs and its passwords stay until they are asked away."""

from __future__ import annotations

import json
from collections.abc import Iterable

from broker.host.layout import erase_calls
from broker.host.scripts import HostScript
from cli.pulumi import Pulumi
from cli.refusals import NotAsked, Refusal
from cli.run_on_host import run_scripts
from cli.stack import Stack

PASSWORDS = ("**random:index/**", "**sentient-mqtt:index:Rotations**")
"""URNs of what was drawn, and of when."""

SEED = "$random:index/randomPassword:RandomPassword::credentials.salts"
"""The end of the URN that `pulumi destroy` stops at: components/credentials.py protects it."""

SECONDS = 600


def take_down(stack: Stack, *, delete_data: bool, delete_passwords: bool, sure: bool) -> None:
    """
    Run `pulumi destroy`, and delete the data folders where that was said.

    Raises:
        Refusal: some of it is left.

    """
    pulumi = Pulumi.ready(stack)
    # Asked now: afterwards the stack has no outputs.
    outputs = pulumi.outputs()
    words = ["--yes", "--skip-preview"] if sure or pulumi.backend.local_passphrase else []
    unprotected: list[str] = []
    if delete_passwords:
        unprotected = _protected_seeds(pulumi)
        _set_protection(pulumi, "unprotect", unprotected)
    else:
        # What is gone without Pulumi's knowledge, such as a whole host, is no reason to fail.
        words += ["--refresh", *(word for urn in PASSWORDS for word in ("--exclude", urn))]
    try:
        pulumi.run("destroy", "--stack", stack.name, *words)
    except Refusal:
        # What is still there is protected again, as it was before somebody said no.
        left = _seeds(pulumi)
        _set_protection(pulumi, "protect", [urn for urn in unprotected if urn in left])
        raise
    if delete_passwords:
        print("Deleted: every password. The next `up` draws others.")
    else:
        print(
            f"Kept: every password. ./brokerctl up --stack {stack.name} brings the broker back "
            "with them."
        )
    folders = stack.settings.broker.folders
    if delete_data:
        kept = _erase(stack, outputs.get("image", stack.settings.broker.image))
        print(f"Deleted: what the broker wrote in {folders.data} and {folders.log}.")
        print(kept, end="")
    else:
        print(f"Kept: {folders.data} and {folders.log}. --delete-data deletes them.")


def require_name(stack: Stack, confirmed: str) -> None:
    """
    Pass if the person has typed the name of the stack, now or as ``--confirm``.

    Raises:
        NotAsked: it is another name, or nobody is there to be asked.

    """
    if not confirmed:
        broker = stack.settings.broker
        print(f"This takes away {broker.container} on {broker.host}; every client is cut off.")
        try:
            confirmed = input(f"Type the name of the stack ({stack.name}) to go on: ").strip()
        except EOFError:
            raise NotAsked(
                f"nothing was taken away: nobody is here to type the name of the stack. Without a "
                f"terminal: --confirm {stack.name}"
            ) from None
    if confirmed != stack.name:
        raise NotAsked(f"nothing was taken away: {confirmed!r} is not {stack.name!r}.")


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
    """Delete the broker's files and return a line for each folder that is still needed."""
    broker = stack.settings.broker
    calls = erase_calls(broker, stack.transport.socket, image)
    try:
        done = run_scripts(
            stack,
            (HostScript.DELETE_FILES,),
            calls,
            action="apply",
            become=broker.become,
            image=image,
            seconds=SECONDS,
        )
    except Refusal as wrong:
        raise Refusal(f"--delete-data: {wrong}") from None
    if done.returncode:
        raise Refusal(f"--delete-data: {done.stderr.strip()}")
    return done.stdout
