"""Commands that create, change, inspect, restart and remove the broker."""

from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, YesOption, command

PANEL = "Lifecycle"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(app, PANEL, "up", example="./brokerctl up --stack prod")(up)
    command(app, PANEL, "preview", example="./brokerctl preview")(preview)
    command(
        app,
        PANEL,
        "down",
        example="./brokerctl down\n./brokerctl down --stack prod --confirm prod --delete-passwords",
    )(down)
    command(app, PANEL, "restart", example="./brokerctl restart --stack prod")(restart)
    command(app, PANEL, "status", example="./brokerctl status --json", query=True)(status)
    command(app, PANEL, "logs", example="./brokerctl logs --lines 20 --follow")(logs)
    command(app, PANEL, "outputs", example="./brokerctl outputs --show-secrets", query=True)(
        outputs
    )


ForceOption = Annotated[
    bool, typer.Option("--force", help="Run Pulumi even if nothing changed since the last up.")
]
CancelStaleOption = Annotated[
    bool,
    typer.Option(
        "--cancel-stale", help="Release the lock of a run that was killed, without asking."
    ),
]


TakeOverOption = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="Manage a broker that another state made, such as one that was lost.",
    ),
]


def up(
    stack: StackOption = "dev",
    *,
    yes: YesOption = False,
    force: ForceOption = False,
    cancel_stale: CancelStaleOption = False,
    take_over: TakeOverOption = False,
    json: JsonOption = False,
) -> None:
    """
    Create the broker, or change it to what the stack file declares.

    A second run changes nothing: it looks at the host and logs in to the broker. Pulumi runs only
    if the stack file, the program, the state or the host differ from what they were after the last
    `up`. For the stack dev there is no question; for any other, Pulumi shows its preview and asks.

    An `up` that was killed is completed by the next one. If its lock is left on the state, and its
    process has ended, this one asks before it releases the lock.

    JSON: stack, unchanged, container, image, endpoints; expectations or expectationsNotAsked, and
    checks, where the stack file declares them.
    """
    from cli.lifecycle.up import bring_up
    from cli.stack import Stack
    from cli.terminal import json_result

    with json_result(enabled=json) as result:
        bring_up(
            Stack.read(stack),
            sure=yes,
            force=force,
            cancel_stale=cancel_stale,
            take_over=take_over,
            result=result,
        )


def preview(
    stack: StackOption = "dev", *, force: ForceOption = False, json: JsonOption = False
) -> None:
    """
    Show what `up` would change, line by line, without changing anything.

    It looks at the host first. Pulumi runs only if an input changed since the last `up`, or for
    --json.
    """
    from cli.lifecycle.unchanged import describe, same_up
    from cli.pulumi import Pulumi
    from cli.stack import Stack

    declared = Stack.read(stack)
    declared.refuse_secrets_in_clear()
    pulumi = Pulumi.ready(declared)
    if not (force or json) and (last := same_up(declared, pulumi)):
        print(describe(declared, last))
        return
    pulumi.select()
    pulumi.run("preview", "--stack", stack, "--json" if json else "--diff")


def down(
    stack: StackOption = "dev",
    *,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the broker's data and logs as well.")
    ] = False,
    delete_passwords: Annotated[
        bool,
        typer.Option(
            "--delete-passwords",
            help="Delete every password as well: the next `up` generates new ones.",
        ),
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm",
            metavar="STACK",
            help="The name of the stack, where there is no terminal to type it on.",
            show_default=False,
        ),
    ] = "",
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Don't ask for the stack dev. Any other stack needs its name all the same.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """
    Remove the broker. Data, logs and passwords stay, unless an option says otherwise.

    Nothing is removed if another state, or a later copy of this one, made the broker.

    For every stack but dev, the name of the stack must be typed.

    At the end it looks for what is left on the host, and exits with 1 if there is anything.

    JSON: stack, container, folders, dataDeleted, passwordsDeleted, left; notes, with --delete-data.
    """
    from bootstrap.pulumi_backend import DISPOSABLE
    from cli.deployment_state import require_state
    from cli.errors import NotPerformedError
    from cli.lifecycle.down import require_name, take_down
    from cli.lifecycle.owner import require_no_broker
    from cli.stack import Stack
    from cli.terminal import json_result

    declared = Stack.read(stack)
    try:
        require_state(declared)
    except NotPerformedError:
        require_no_broker(declared)
        raise
    named = bool(confirm) or stack != DISPOSABLE
    with json_result(enabled=json) as result:
        if named:
            require_name(declared, confirm)
        take_down(
            declared,
            delete_data=delete_data,
            delete_passwords=delete_passwords,
            sure=yes or named,
            result=result,
        )


def restart(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Restart the broker with its data, and wait until it answers.

    JSON: stack, container, image, restarted, startedAt.
    """
    from cli.deployment_state import require_up
    from cli.lifecycle.restart import restart as restart_broker
    from cli.run_on_host import running_image
    from cli.stack import Stack
    from cli.terminal import json_result

    declared = Stack.read(stack)
    require_up(declared)
    container = declared.settings.broker.container
    with json_result(enabled=json) as result:
        image = running_image(declared)
        started = restart_broker(declared, image)
        result |= {
            "stack": stack,
            "container": container,
            "image": image,
            "restarted": True,
            "startedAt": started,
        }
        print(
            f"container {container}: restarted at {started[:19].replace('T', ' ')} UTC. Since "
            "then its health user has logged in, an anonymous client was refused, and no retained "
            "message was missing. Every client was disconnected once."
        )


def status(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show health, clients, rates and memory. Exits with 1 if the broker is not healthy."""
    from dataclasses import asdict

    from broker.monitoring.status import render_status
    from cli.deployment_state import require_up
    from cli.lifecycle.status import read_status, require_healthy
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_pairs

    declared = Stack.read(stack)
    require_up(declared)
    found = read_status(declared)
    if json:
        print_json(asdict(found) | {"well": found.well})
    elif on_terminal():
        print_pairs(render_status(declared.settings, found))
    else:
        print_lines(render_status(declared.settings, found))
    require_healthy(declared, found)


def logs(
    stack: StackOption = "dev",
    *,
    lines: Annotated[
        int, typer.Option("--lines", min=0, help="How many lines from the end.")
    ] = 100,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print new lines as they arrive.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """
    Show the broker's log.

    JSON: stack, container, lines. Not with --follow.
    """
    from cli.deployment_state import require_up
    from cli.errors import NotPerformedError
    from cli.run_on_host import docker, docker_log, show_docker
    from cli.stack import Stack
    from cli.terminal import print_json

    if json and follow:
        raise NotPerformedError(
            "--json prints one document and --follow does not end: use one of them"
        )
    declared = Stack.read(stack)
    require_up(declared)
    container = declared.settings.broker.container
    if json:
        shown = docker_log(declared, lines)
        print_json({"stack": stack, "container": container, "lines": shown})
        return
    # Otherwise Docker's message on a missing container would be among the lines of the log.
    docker(declared, "container", "inspect", "--format", "{{.Id}}", container)
    show_docker(
        declared, "logs", "--tail", str(lines), *(["--follow"] if follow else []), container
    )


def outputs(
    stack: StackOption = "dev",
    *,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Show logins and env files in clear text.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show the stack's outputs; secrets only with --show-secrets."""
    from cli.deployment_state import require_up
    from cli.pulumi import Pulumi
    from cli.stack import Stack

    declared = Stack.read(stack)
    require_up(declared)
    more = [*(["--show-secrets"] if show_secrets else []), *(["--json"] if json else [])]
    Pulumi.ready(declared).run("stack", "output", "--stack", stack, *more)
