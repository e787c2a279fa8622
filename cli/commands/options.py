"""The options that commands share."""

from collections.abc import Callable
from typing import Annotated, Any

import typer


def stack_names(incomplete: str) -> list[str]:
    """Complete the name of a stack from the stack files."""
    from cli.stack import ROOT

    names = sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def user_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a user, or of a member of a fleet."""
    from cli.errors import CommandError
    from cli.stack import Stack

    try:
        settings = Stack.read(str(ctx.params.get("stack") or "dev")).settings
    except CommandError:
        return []
    members = [name for fleet in settings.fleets.values() for name in fleet.admitted]
    return [name for name in (*settings.users, *members) if name.startswith(incomplete)]


StackOption = Annotated[
    str,
    typer.Option(
        "--stack",
        "-s",
        envvar="SENTIENT_MQTT_STACK",
        help="The stack: its file is Pulumi.STACK.yaml.",
        metavar="STACK",
        autocompletion=stack_names,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
UserArgument = Annotated[
    str,
    typer.Argument(
        help="A user, or a member of a fleet.",
        metavar="USER",
        show_default=False,
        autocompletion=user_names,
    ),
]


def command(
    app: typer.Typer, panel: str, name: str, *, example: str, query: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """
    Return a decorator that adds a function to *app* as command *name*.

    *example* is shown at the end of its help. A *query* exits with 1 only for a finding, and with 2
    for any other error.
    """
    epilog = "Example:\n\n" + "\n\n".join(f"$ {line}" for line in example.splitlines())

    def add(function: Callable[..., None]) -> Callable[..., None]:
        from cli.exit_codes import as_query

        added: Any = as_query(function) if query else function
        app.command(name, rich_help_panel=panel, epilog=epilog)(added)
        return function

    return add
