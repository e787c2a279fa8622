"""Commands for credentials of users: show, rotate, client certificates."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import (
    JsonOption,
    StackOption,
    UserArgument,
    YesOption,
    command,
    user_names,
)

PANEL = "Users"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(
        app,
        PANEL,
        "credentials",
        example="./brokerctl credentials paragon_devices --format header\n"
        "./brokerctl credentials --all logins",
        query=True,
    )(credentials)
    command(app, PANEL, "password", example='mosquitto_sub -P "$(./brokerctl password admin)" ...')(
        password
    )
    command(app, PANEL, "rotate", example="./brokerctl rotate paragon_devices --stack prod")(rotate)
    command(app, PANEL, "certificate", example="./brokerctl certificate teensy-007 --days 90")(
        certificate
    )


def credentials(
    user: Annotated[
        str,
        typer.Argument(
            help="A user, or a member of a fleet.",
            metavar="[USER]",
            show_default=False,
            autocompletion=user_names,
        ),
    ] = "",
    stack: StackOption = "dev",
    *,
    all_: Annotated[
        Path | None,
        typer.Option("--all", metavar="FOLDER", help="Write a file for each user, mode 0600."),
    ] = None,
    format_: Annotated[
        Literal["env", "header"],
        typer.Option("--format", help="An env file, or a C header for a controller's firmware."),
    ] = "env",
    json: JsonOption = False,
) -> None:
    """
    Print the login of a user, or write a file for each user.

    JSON: username, password; with --all: folder, files, withoutFile (the reason, by user).
    """
    import sys

    from cli.deployment_state import not_up_yet, require_up
    from cli.errors import CommandError, NotPerformedError
    from cli.lifecycle.unfinished import warn_if_unfinished
    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.terminal import json_result, print_json
    from cli.users import credentials as logins_of_users

    declared = Stack.read(stack)
    if bool(user) == (all_ is not None):
        users = ", ".join(declared.settings.users)
        raise NotPerformedError(f"name a user, or give --all FOLDER. There are: {users}.")
    if user:
        logins_of_users.check_known(user, declared)
    require_up(declared)
    pulumi = Pulumi.ready(declared)
    logins = logins_of_users.all_logins(declared.settings, pulumi.outputs())
    warn_if_unfinished(declared, pulumi.environ)
    if all_ is not None:
        with json_result(enabled=json) as result:
            left_out = logins_of_users.write_all(declared.settings, logins, all_, format_)
            written = [name for name in logins if name not in left_out]
            result |= {
                "folder": str(all_),
                "files": [logins_of_users.file_name(name, format_) for name in written],
                "withoutFile": left_out,
            }
            print(f"{len(written)} files, mode 0600: {all_}", file=sys.stderr)
            if left_out:
                raise CommandError(
                    "\n".join(f"No file for user {name}: {why}" for name, why in left_out.items())
                )
        return
    if user not in logins:
        raise not_up_yet(stack, user)
    if json:
        print_json(logins[user]._asdict())
    elif format_ == "env" and (why := logins_of_users.unfit(logins[user])):
        raise CommandError(f"user {user}: {why}")
    else:
        sys.stdout.write(logins_of_users.render(declared.settings, logins[user], format_))


def password(user: UserArgument, stack: StackOption = "dev") -> None:
    """Print the password of a user, and nothing else."""
    from cli.deployment_state import not_up_yet, require_up
    from cli.lifecycle.unfinished import warn_if_unfinished
    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.users.credentials import all_logins, check_known

    declared = Stack.read(stack)
    check_known(user, declared)
    require_up(declared)
    pulumi = Pulumi.ready(declared)
    logins = all_logins(declared.settings, pulumi.outputs())
    if user not in logins:
        raise not_up_yet(stack, user)
    warn_if_unfinished(declared, pulumi.environ)
    print(logins[user].password)


def rotate(
    users: Annotated[
        list[str] | None,
        typer.Argument(
            help="Users, fleets, members of fleets.",
            metavar="[USER]...",
            show_default=False,
            autocompletion=user_names,
        ),
    ] = None,
    stack: StackOption = "dev",
    *,
    all_: Annotated[bool, typer.Option("--all", help="Every user and fleet.")] = False,
    revoke_previous: Annotated[
        bool,
        typer.Option("--revoke-previous", help="Revoke the login before the newest instead."),
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """
    Give users new passwords. No other user is disconnected.

    Raises the generation in the stack file, shows the preview, and applies the change. For the
    stack dev there is no question.

    At the end it logs in: a new password must be accepted, and a former one refused.

    JSON: stack, changed (keys of the stack file), disconnected, skipped, applied, newAccepted,
    formerRefused (logins that the broker accepted and refused at the end).
    """
    from cli.errors import NotPerformedError
    from cli.stack import Stack
    from cli.terminal import json_result
    from cli.users.rotate import rotate as rotate_passwords

    declared = Stack.read(stack)
    if all_ == bool(users):
        raise NotPerformedError("name users, or give --all")
    with json_result(enabled=json) as result:
        rotate_passwords(
            declared, users or [], end_previous=revoke_previous, sure=yes, result=result
        )


def certificate(
    user: UserArgument,
    stack: StackOption = "dev",
    *,
    days: Annotated[int, typer.Option("--days", min=1, help="How long it is valid.")] = 397,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where the files are written.")
    ] = Path("certificates"),
    json: JsonOption = False,
) -> None:
    """
    Issue a client certificate for a user.

    The key is generated here, and the stack's CA signs on its host. Key, certificate and CA are
    written with mode 0600. At the end it connects with them.

    JSON: folder, key, certificate, ca, ends, tried.
    """
    import sys

    from cli.stack import Stack
    from cli.terminal import print_json
    from cli.users.certificate import make_certificate

    declared = Stack.read(stack)
    made = make_certificate(declared, user, days, out)
    if json:
        print_json({"folder": str(out), **made})
        return
    print(
        f"{out}: {made['key']}, {made['certificate']} (until {made['ends']}), {made['ca']}\n"
        f"{made['tried']}",
        file=sys.stderr,
    )
