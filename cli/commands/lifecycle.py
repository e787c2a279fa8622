"""Bring the broker up, change it, look at it, start it again, take it away."""

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
    command(app, PANEL, "status", example="./brokerctl status --json", asks=True)(status)
    command(app, PANEL, "logs", example="./brokerctl logs --lines 20 --follow")(logs)
    command(app, PANEL, "outputs", example="./brokerctl outputs --show-secrets", asks=True)(outputs)


def up(stack: StackOption = "dev", *, yes: YesOption = False, json: JsonOption = False) -> None:
    """
    Bring the broker up, or change it to what the stack file says.

    Run again, it changes nothing. On dev nobody is asked; elsewhere Pulumi shows its preview and
    asks.

    JSON: stack, container, image, endpoints; expectations or expectationsNotAsked, and checks,
    where the stack file declares them.
    """
    from cli.stack import Stack
    from cli.terminal import json_result
    from cli.up import bring_up

    with json_result(enabled=json) as result:
        bring_up(Stack.read(stack), sure=yes, result=result)


def preview(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show what `up` would change, line by line. Nothing is touched."""
    from cli.pulumi import Pulumi
    from cli.stack import Stack

    declared = Stack.read(stack)
    declared.refuse_secrets_in_clear()
    pulumi = Pulumi.ready(declared)
    pulumi.select()
    pulumi.run("preview", "--stack", stack, "--json" if json else "--diff")


def down(
    stack: StackOption = "dev",
    *,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the broker's data and logs, too.")
    ] = False,
    delete_passwords: Annotated[
        bool,
        typer.Option(
            "--delete-passwords", help="Delete every password, too: the next `up` draws others."
        ),
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm",
            metavar="STACK",
            help="The name of the stack, where nobody is there to type it.",
            show_default=False,
        ),
    ] = "",
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Don't ask on dev. For any other stack the name is needed all the same."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """
    Take the broker away. Data, logs and passwords stay, unless an option says otherwise.

    On every stack but dev the name of the stack has to be typed.

    JSON: stack, container, folders, dataDeleted, passwordsDeleted; notes, with --delete-data.
    """
    from bootstrap.backend import DISPOSABLE
    from cli.deployment_state import require_state
    from cli.lifecycle.down import require_name, take_down
    from cli.stack import Stack
    from cli.terminal import json_result

    declared = Stack.read(stack)
    require_state(declared)
    asked = bool(confirm) or stack != DISPOSABLE
    with json_result(enabled=json) as result:
        if asked:
            require_name(declared, confirm)
        take_down(
            declared,
            delete_data=delete_data,
            delete_passwords=delete_passwords,
            sure=yes or asked,
            result=result,
        )


def restart(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Start the broker again with its data, and wait until it answers.

    JSON: stack, container, image, restarted.
    """
    from cli.deployment_state import require_up
    from cli.lifecycle.restart import restart as start_again
    from cli.run_on_host import running_image
    from cli.stack import Stack
    from cli.terminal import json_result

    declared = Stack.read(stack)
    require_up(declared)
    container = declared.settings.broker.container
    with json_result(enabled=json) as result:
        image = running_image(declared)
        start_again(declared, image)
        result |= {"stack": stack, "container": container, "image": image, "restarted": True}
        print(
            f"container {container}: started again; it lets its health user in, refuses who has no "
            "login, and has the messages that it kept. Every client was disconnected once."
        )


def status(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """Show health, clients, rates and memory. Exits with 1 where the broker is not well."""
    from dataclasses import asdict

    from broker.monitoring.status import render_status
    from cli.deployment_state import require_up
    from cli.lifecycle.status import judge, look
    from cli.stack import Stack
    from cli.terminal import on_terminal, print_json, print_lines, print_table

    declared = Stack.read(stack)
    require_up(declared)
    found = look(declared)
    if json:
        print_json(asdict(found) | {"well": found.well})
    elif on_terminal():
        pairs = (line.partition(": ") for line in render_status(declared.settings, found))
        print_table(("what", "state"), [(what, said) for what, _, said in pairs])
    else:
        print_lines(render_status(declared.settings, found))
    judge(declared, found)


def logs(
    stack: StackOption = "dev",
    *,
    lines: Annotated[int, typer.Option("--lines", min=0, help="How many of the last.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with those to come.")] = False,
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
            "--json prints one document, and --follow does not end: leave one out"
        )
    declared = Stack.read(stack)
    require_up(declared)
    container = declared.settings.broker.container
    if json:
        shown = docker_log(declared, lines)
        print_json({"stack": stack, "container": container, "lines": shown})
        return
    # Docker's own sentence would stand among the broker's.
    docker(declared, "inspect", "--format", "{{.Id}}", container)
    show_docker(
        declared, "logs", "--tail", str(lines), *(["--follow"] if follow else []), container
    )


def outputs(
    stack: StackOption = "dev",
    *,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Show logins and env files in clear.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show the stack's outputs; secrets only where they are asked for."""
    from cli.deployment_state import require_up
    from cli.pulumi import Pulumi
    from cli.stack import Stack

    declared = Stack.read(stack)
    require_up(declared)
    more = [*(["--show-secrets"] if show_secrets else []), *(["--json"] if json else [])]
    Pulumi.ready(declared).run("stack", "output", "--stack", stack, *more)
