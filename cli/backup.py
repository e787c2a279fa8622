"""One archive of what the broker keeps, made now; the host's clock does the same."""

from __future__ import annotations

from broker.backup.backups import SCRIPTS, Report, backup_calls
from broker.settings.backup_settings import Backups
from cli.docker import image_for_root
from cli.refusals import Refusal
from cli.run_on_host import run_scripts
from cli.stack import Stack

SECONDS = 1800


def declared_backups(stack: Stack) -> Backups:
    """
    Return the stack's settings of backups.

    Raises:
        Refusal: it has none.

    """
    found = stack.settings.broker.backups
    if found is None:
        raise Refusal(
            f"{stack.file.name}: broker.backups is not there, so no backup has a place. Add, for "
            "example:\n    backups:\n      folder: /opt/sentient/backups/mqtt"
        )
    return found


def backup(stack: Stack) -> Report:
    """
    Run ``host/commands/backup.sh``.

    Raises:
        Refusal: no archive was made; no older one was touched then.

    """
    way, broker = stack.transport, stack.settings.broker
    done = run_scripts(
        stack,
        SCRIPTS,
        backup_calls(broker, declared_backups(stack), stack.name, way.socket),
        action="apply",
        become=broker.become,
        image=image_for_root(stack),
        seconds=SECONDS,
    )
    if done.returncode:
        raise Refusal(f"host {way.host}: {done.stderr.strip()}")
    return Report.parse(done.stdout)
