"""`make down`: the broker is gone; what it wrote, its data and logs, is there until asked away."""

import json
from collections.abc import Iterable

from broker.host.layout import erase_calls
from cli.exit_codes import finish
from cli.pulumi import Pulumi
from cli.run_on_host import run_scripts
from cli.stack import Refusal, Stack, arguments

PASSWORDS = ("**random:index/**", "**sentient-mqtt:index:Rotations**")
"""URNs of what was drawn, and of when."""

SEED = "$random:index/randomPassword:RandomPassword::credentials.salts"
"""The end of the URN that `pulumi destroy` stops at: components/credentials.py protects it."""

SECONDS = 600


def main() -> None:
    """Run `pulumi destroy`, and delete the data folders where that was said."""
    parser = arguments("Take the broker away.")
    parser.add_argument("--delete-data", action="store_true")
    parser.add_argument("--keep-passwords", action="store_true")
    parser.add_argument("--yes", action="store_true", help="do not ask, also for other stacks")
    given = parser.parse_args()
    stack = Stack.read(given.stack)
    pulumi = Pulumi.ready(stack)
    pulumi.select()
    sure = given.yes or pulumi.backend.ours
    # Asked now: afterwards the stack has no outputs.
    outputs = pulumi.outputs()
    words = ["--yes", "--skip-preview"] if sure else []
    unprotected: list[str] = []
    if given.keep_passwords:
        # What is gone without Pulumi's knowledge, such as a whole host, is no reason to fail.
        words += ["--refresh", *(word for each in PASSWORDS for word in ("--exclude", each))]
    else:
        unprotected = _protected_seeds(pulumi)
        _set_protection(pulumi, "unprotect", unprotected)
    try:
        pulumi.run("destroy", "--stack", stack.name, *words)
    except Refusal:
        # What is still there is protected again, as it was before somebody said no.
        left = _seeds(pulumi)
        _set_protection(pulumi, "protect", [urn for urn in unprotected if urn in left])
        raise
    if given.keep_passwords:
        print(f"Every password stays: make up STACK={stack.name} brings the broker back with them.")
    folders = stack.settings.broker.folders
    if given.delete_data:
        kept = _erase(stack, outputs.get("image", stack.settings.broker.image))
        print(f"Deleted: what the broker wrote in {folders.data} and {folders.log}.")
        print(kept, end="")
    else:
        print(f"Kept: {folders.data} and {folders.log}. DATA=delete deletes them.")


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
            ("commands/delete_files.sh",),
            calls,
            action="apply",
            become=broker.become,
            image=image,
            seconds=SECONDS,
        )
    except Refusal as wrong:
        raise Refusal(f"DATA=delete: {wrong}") from None
    if done.returncode:
        raise Refusal(f"DATA=delete: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    finish(main)
