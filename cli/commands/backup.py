"""Make backups, try them, and get them back."""

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
        name="backup", help="Make backups, try them, and get them back.", no_args_is_help=True
    )
    command(group, PANEL, "create", example="./brokerctl backup create --stack prod")(create)
    command(group, PANEL, "verify", example="./brokerctl backup verify --stack prod")(verify)
    command(group, PANEL, "restore", example="./brokerctl backup restore latest --stack prod")(
        restore
    )
    app.add_typer(group, rich_help_panel=PANEL)


def create(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Make one archive of what the broker keeps, now.

    JSON: what the host reports, such as archive, bytes, retained, sessions, queued, logins.
    """
    from cli.backup.create import backup, declared_backups
    from cli.deployment_state import require_up
    from cli.stack import Stack
    from cli.terminal import print_json, waiting

    declared = Stack.read(stack)
    declared_backups(declared)
    require_up(declared)
    with waiting("making a backup"):
        report = backup(declared)
    if json:
        print_json(dict(report.facts))
        return
    print(f"{report.facts['archive']}: {int(report.facts['bytes']):,} bytes")
    print(f"It holds {report.counts()}, and {report.facts['logins']} logins' hashes.")


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
    Start a broker of its own on an archive, count what it finds, and log in.

    JSON: what the host reports, such as archive, written, retained, sessions, queued, logins.
    """
    from cli.backup.create import declared_backups
    from cli.backup.verify import drill, read_identity
    from cli.deployment_state import require_up
    from cli.stack import Stack
    from cli.terminal import print_json, waiting

    declared = Stack.read(stack)
    declared_backups(declared)
    require_up(declared)
    with waiting("starting a broker on the archive"):
        report = drill(declared, archive, read_identity(identity))
    if json:
        print_json(dict(report.facts))
        return
    print(f"{report.facts['archive']}: whole, of {report.facts['written']}")
    print(f"A broker of its own starts on it and finds {report.counts()}.")
    if ended := report.ended():
        print(ended)
    print(
        f"It lets its own user in and nobody without a password; {report.facts['logins']} logins' "
        "hashes are there."
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
    other: Annotated[bool, typer.Option("--other", help="Take another stack's archive.")] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """
    Have the broker hold what an archive holds: retained messages and sessions.

    What it held before is kept aside, users and rules stay as they are, and every client is
    disconnected once.

    JSON: archive, written, container, downtimeSeconds, previousDatabase, retained, sessions,
    queued.
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
