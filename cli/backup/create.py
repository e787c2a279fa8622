"""Create one backup archive, as the host's schedule does."""

from __future__ import annotations

from broker.backup.backups import SCRIPTS, Report, backup_calls
from broker.settings.backup_settings import Backups
from cli.errors import CommandError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack

SECONDS = 1800


def declared_backups(stack: Stack) -> Backups:
    """
    Return the stack's settings of backups.

    Raises:
        CommandError: it declares no backups.

    """
    backups = stack.settings.broker.backups
    if backups is None:
        raise CommandError(
            f"{stack.file.name}: broker.backups is not set. Add, for example:\n"
            "    backups:\n      folder: /opt/sentient/backups/mqtt"
        )
    return backups


def create_backup(stack: Stack) -> Report:
    """
    Run ``host/commands/backup.sh``.

    Raises:
        CommandError: no archive was made, and no older one was deleted.

    """
    calls = backup_calls(
        stack.settings.broker, declared_backups(stack), stack.name, stack.transport.socket
    )
    result = run_scripts(
        stack, SCRIPTS, calls, action="apply", image=image_for_root(stack), seconds=SECONDS
    )
    return Report.parse(require_success(stack, result).stdout)
