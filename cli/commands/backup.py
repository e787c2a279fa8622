"""Commands that create, verify and restore backups."""

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, YesOption, command

PANEL = "Backup"

IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity", metavar="FILE", help="The file with the age identity of an encrypted archive."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(
        name="backup", help="Create, verify and restore backups.", no_args_is_help=True
    )
    command(group, PANEL, "create", example="./brokerctl backup create --stack prod")(create)
    command(group, PANEL, "verify", example="./brokerctl backup verify --stack prod")(verify)
    command(group, PANEL, "restore", example="./brokerctl backup restore latest --stack prod")(
        restore
    )
    app.add_typer(group, rich_help_panel=PANEL)


def create(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Create one archive of the broker's database and password hashes now.

    JSON: what the host reports, such as archive, bytes, retained, sessions, queued, logins.
    """
    from cli.backup.create import create_backup, declared_backups
    from cli.deployment_state import require_up
    from cli.stack import Stack
    from cli.terminal import print_json, waiting

    declared = Stack.read(stack)
    declared_backups(declared)
    require_up(declared)
    with waiting("creating a backup"):
        report = create_backup(declared)
    if json:
        print_json(dict(report.facts))
        return
    print(f"{report.facts['archive']}: {int(report.facts['bytes']):,} bytes")
    print(f"It holds {report.counts()}, and the hashes of {report.facts['logins']} logins.")


def verify(
    archive: Annotated[
        str, typer.Argument(help="A path on the host, or latest.", metavar="[ARCHIVE]")
    ] = "latest",
    stack: StackOption = "dev",
    *,
    identity: IdentityOption = None,
    json: JsonOption = False,
) -> None:
    """
    Start a separate broker on an archive, count what it finds, and log in.

    JSON: what the host reports, such as archive, written, retained, sessions, queued, logins.
    """
    from cli.backup.create import declared_backups
    from cli.backup.verify import read_identity, verify_backup
    from cli.deployment_state import require_up
    from cli.stack import Stack
    from cli.terminal import print_json, waiting

    declared = Stack.read(stack)
    declared_backups(declared)
    require_up(declared)
    with waiting("starting a separate broker on the archive"):
        report = verify_backup(declared, archive, read_identity(identity))
    if json:
        print_json(dict(report.facts))
        return
    print(f"{report.facts['archive']}: complete, of {report.facts['written']}")
    print(f"A separate broker starts on it and finds {report.counts()}.")
    if ended := report.ended():
        print(ended)
    print(
        "It accepts its health user and refuses anonymous clients; the archive has the password "
        f"hashes of {report.facts['logins']} logins."
    )


def restore(
    archive: Annotated[
        str,
        typer.Argument(
            help="A path on the host, or latest.", metavar="ARCHIVE", show_default=False
        ),
    ],
    stack: StackOption = "dev",
    *,
    identity: IdentityOption = None,
    other: Annotated[
        bool, typer.Option("--other", help="Accept an archive of another stack.")
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """
    Restore the retained messages and sessions of an archive.

    The previous database is kept aside, users and rules do not change, and every client is
    disconnected once.

    JSON: archive, written, container, downtimeSeconds, previousDatabase, retained, sessions,
    queued; held: what the broker holds after its start.
    """
    from cli.backup.create import declared_backups
    from cli.backup.restore import restore_backup
    from cli.backup.verify import read_identity
    from cli.deployment_state import require_up
    from cli.errors import NotPerformedError
    from cli.stack import Stack
    from cli.terminal import json_result

    if not archive:
        raise NotPerformedError("name an archive: `latest`, or a path on the host.")
    declared = Stack.read(stack)
    declared_backups(declared)
    require_up(declared)
    with json_result(enabled=json) as result:
        restore_backup(
            declared, archive, read_identity(identity), other=other, sure=yes, result=result
        )
