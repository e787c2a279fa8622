"""The broker holds again what an archive holds, or what it held before."""

from __future__ import annotations

from typing import Any, Literal

from broker.backup.backups import Report, archive_calls, drill_calls, restore_calls
from broker.host.scripts import HostScript
from cli.backup.create import SECONDS, declared_backups
from cli.errors import CommandError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack


def restore_backup(
    stack: Stack,
    archive: str,
    identity: str,
    *,
    other: bool,
    sure: bool,
    result: dict[str, Any],
) -> None:
    """
    Say what a restore replaces, ask, and do it. *result* is filled with what was restored.

    Raises:
        CommandError: the broker holds what it held before.

    """
    seen = restore(stack, archive, identity, other=other, action="look")
    # Named, so that a backup made in between is not what is restored.
    archive = seen.facts["archive"]
    print(f"{archive}: whole, of {seen.facts['written']}; a broker finds {seen.counts()} in it.")
    if ended := seen.ended():
        print(ended)
    print(f"It replaces what {stack.settings.broker.container} holds: {replaced(seen)}.")
    print(
        "That is kept aside. Every client is disconnected once. Users and rules stay as they are."
    )
    if not sure and not agreed():
        raise CommandError("not restored: the answer was not yes.")
    done = restore(stack, archive, identity, other=other, action="apply")
    result |= {
        "archive": archive,
        "written": seen.facts["written"],
        "container": stack.settings.broker.container,
        "downtimeSeconds": float(done.facts["seconds"]),
        "previousDatabase": done.facts["kept"],
        **{key: int(seen.facts.get(key, 0)) for key in ("retained", "sessions", "queued")},
    }
    print(f"Restored; downtime: {done.facts['seconds']} s.")
    print(f"What was there: {done.facts['kept']} on the host. It is yours to delete.")


def agreed() -> bool:
    """Ask the person; nobody there is no agreement."""
    try:
        return input("Restore it? (yes/no) ").strip() == "yes"
    except EOFError:
        return False


def replaced(report: Report) -> str:
    """Return what a restore would replace, as a person says it."""
    found = report.facts["replaces"].split()
    if len(found) != len(("retained", "sessions", "queued")):
        return "a database that its own image can't read"
    return Report(dict(zip(("retained", "sessions", "queued"), found, strict=True))).counts()


def restore(
    stack: Stack, archive: str, identity: str, *, other: bool, action: Literal["look", "apply"]
) -> Report:
    """
    Run ``host/commands/restore.sh``, only to ``look``, or to ``apply``.

    Raises:
        CommandError: it did not come to that; the broker runs with what it had.

    """
    broker, socket = stack.settings.broker, stack.transport.socket
    result = run_scripts(
        stack,
        (HostScript.RESTORE,),
        [
            *archive_calls(broker, declared_backups(stack), stack.name, socket, identity),
            *drill_calls(broker, archive),
            *restore_calls(broker, other=other),
        ],
        action=action,
        image=image_for_root(stack),
        seconds=SECONDS,
    )
    return Report.parse(require_success(stack, result).stdout)
