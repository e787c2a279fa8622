"""Restore the broker's database from an archive, or leave it unchanged."""

from __future__ import annotations

from typing import Any, Literal

from broker.backup.backups import Report, archive_calls, drill_calls, restore_calls
from broker.host.scripts import HostScript
from cli.backup.create import SECONDS, declared_backups
from cli.errors import CommandError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack
from cli.terminal import confirm

COUNTED = ("retained", "sessions", "queued")


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
    Print what a restore replaces, ask, restore, and print what the broker holds then.

    *result* is filled after the restore.

    Raises:
        CommandError: the broker keeps its database, or holds less than the archive.

    """
    report = restore(stack, archive, identity, other=other, action="look")
    # `latest` may be another archive by the time of the answer.
    archive = report.facts["archive"]
    print(f"{archive}: complete, of {report.facts['written']}; it has {report.counts()}.")
    if ended := report.ended():
        print(ended)
    print(f"It replaces what {stack.settings.broker.container} has: {replaced(report)}.")
    print("That is kept aside. Every client is disconnected once. Users and rules do not change.")
    if not sure and not confirm("Restore it?"):
        raise CommandError("not restored: the answer was not yes (--yes doesn't ask).")
    done = restore(stack, archive, identity, other=other, action="apply")
    result |= {
        "archive": archive,
        "written": report.facts["written"],
        "container": stack.settings.broker.container,
        "downtimeSeconds": int(done.facts["seconds"]),
        "previousDatabase": done.facts["kept"],
        **{key: int(report.facts.get(key, 0)) for key in COUNTED},
    }
    back = counts_of(done, "back")
    result["held"] = back and {key: int(back.facts[key]) for key in COUNTED}
    back = require_retained(stack, report, back)
    print(f"Restored; downtime: {done.facts['seconds']} s. The broker now holds {back.counts()}.")
    print(f"The previous database: {done.facts['kept']} on the host. Delete it when you like.")


def replaced(report: Report) -> str:
    """Return what a restore would replace, for a person."""
    counts = counts_of(report, "replaces")
    return counts.counts() if counts else "a database that its own image can't read"


def counts_of(report: Report, key: str) -> Report | None:
    """Return the three counts of a line of *report*; None if they are unknown."""
    counts = report.facts.get(key, "").split()
    if len(counts) != len(COUNTED):
        return None
    return Report(dict(zip(COUNTED, counts, strict=True)))


def require_retained(stack: Stack, archive: Report, back: Report | None) -> Report:
    """
    Return *back* if the broker holds the retained messages of *archive*.

    Sessions and queued messages may be fewer: their clients connect again at once.

    Raises:
        CommandError: it holds fewer, or what it holds is unknown.

    """
    started = f"{stack.settings.broker.container} runs with the archive's database"
    if back is None:
        raise CommandError(f"{started}, but what it holds could not be counted.")
    expected, found = (int(report.facts.get("retained", 0)) for report in (archive, back))
    if found < expected:
        raise CommandError(
            f"{started}, but holds {found:,} of its {expected:,} retained messages. A client may "
            "have deleted some since the start."
        )
    return back


def restore(
    stack: Stack, archive: str, identity: str, *, other: bool, action: Literal["look", "apply"]
) -> Report:
    """
    Run ``host/commands/restore.sh``, only to ``look``, or to ``apply``.

    Raises:
        CommandError: nothing was restored; the broker keeps its database.

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
