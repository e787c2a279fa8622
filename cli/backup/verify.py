"""Verify a backup archive: start a separate broker on it and compare."""

from __future__ import annotations

from pathlib import Path

from broker.backup.backups import Report, archive_calls, drill_calls
from broker.host.scripts import HostScript
from cli.backup.create import SECONDS, declared_backups
from cli.errors import NotPerformedError
from cli.run_on_host import image_for_root, require_success, run_scripts
from cli.stack import Stack


def read_identity(path: Path | None) -> str:
    """
    Return the text of an age identity file, or an empty string if *path* is None.

    Raises:
        NotPerformedError: it can't be read.

    """
    if path is None:
        return ""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise NotPerformedError(f"--identity {path}: {error}") from None


def verify_backup(stack: Stack, archive: str, identity: str) -> Report:
    """
    Run ``host/commands/verify_backup.sh``.

    Raises:
        CommandError: the archive is damaged, or differs from its manifest.

    """
    broker, socket = stack.settings.broker, stack.transport.socket
    result = run_scripts(
        stack,
        (HostScript.VERIFY_BACKUP,),
        [
            *archive_calls(broker, declared_backups(stack), stack.name, socket, identity),
            *drill_calls(broker, archive),
        ],
        action="apply",
        image=image_for_root(stack),
        seconds=SECONDS,
    )
    return Report.parse(require_success(stack, result).stdout)
