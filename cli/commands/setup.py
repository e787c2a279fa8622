"""Commands to start from an existing broker, or to run `pulumi` directly."""

from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, command

PANEL = "Set up"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(
        app,
        PANEL,
        "adopt",
        example="./brokerctl adopt --stack site --from /opt/mosquitto/config --address 192.168.2.3",
    )(adopt)
    command(app, PANEL, "env", example='eval "$(./brokerctl env)"; pulumi preview')(env)
    command(app, PANEL, "version", example="./brokerctl version")(version)


def adopt(
    stack: StackOption = "dev",
    *,
    from_: Annotated[
        str,
        typer.Option(
            "--from", metavar="FOLDER", help="The folder of its mosquitto.conf.", show_default=False
        ),
    ] = "",
    conf: Annotated[
        str,
        typer.Option(
            "--conf",
            metavar="FILE",
            help="Or the path of its mosquitto.conf, if that has another name.",
            show_default=False,
        ),
    ] = "",
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="HOST",
            help="The host name or IP address that clients dial.",
            show_default=False,
        ),
    ] = "",
    container: Annotated[
        str,
        typer.Option(
            "--container",
            metavar="NAME",
            help="The name that the new container gets.",
            show_default=False,
        ),
    ] = "",
    image: Annotated[
        str,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="The image that runs now, which the new container gets, too.",
            show_default=False,
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="The folder on the host with its mosquitto.db.",
            show_default=False,
        ),
    ] = "",
    log: Annotated[
        str,
        typer.Option(
            "--log",
            metavar="FOLDER",
            help="The folder on the host for its log.",
            show_default=False,
        ),
    ] = "",
    json: JsonOption = False,
) -> None:
    """
    Write a stack file for a broker that was set up by hand.

    Its password hashes go into the stack's secrets, so that every client keeps its password.

    JSON: stack, file, users, assumptions, next (what is left to do).
    """
    from cli.setup.adopt import adopt_broker
    from cli.terminal import json_result

    with json_result(enabled=json) as result:
        adopted = adopt_broker(
            stack,
            folder=from_,
            conf=conf,
            address=address,
            container=container,
            image=image,
            data=data,
            log=log,
        )
        result.update(adopted.as_data())
        print(adopted.as_text())


def env(stack: StackOption = "dev", *, json: JsonOption = False) -> None:
    """
    Print the environment that plain `pulumi` needs, for a shell to eval. No passphrase is in it.

    JSON: variables, pathBefore (the folders that go before those of PATH).
    """
    import os
    import shlex

    from cli.pulumi import Pulumi
    from cli.stack import Stack
    from cli.terminal import json_result

    with json_result(enabled=json) as result:
        variables = dict(Pulumi.ready(Stack.read(stack)).additions)
        added = variables.pop("PATH").removesuffix(os.environ.get("PATH", ""))
        folders = [folder for folder in added.split(os.pathsep) if folder]
        result |= {"variables": variables, "pathBefore": folders}
    if json:
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f'export PATH={shlex.quote(added)}"$PATH"')


def version(*, json: JsonOption = False) -> None:
    """Show the version of this program."""
    import platform
    import tomllib
    from pathlib import Path

    from cli.terminal import print_json

    file = Path(__file__).parents[2] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    if json:
        print_json({"brokerctl": project["version"], "python": platform.python_version()})
    else:
        print(f"brokerctl {project['version']} (Python {platform.python_version()})")
