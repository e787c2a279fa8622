"""Commands that connect to the broker as one of its users."""

from typing import Annotated

import typer

from cli.commands.options import JsonOption, StackOption, UserArgument, command

PANEL = "Messages"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    command(app, PANEL, "watch", example="./brokerctl watch admin 'paragon/#' --count 1")(watch)
    command(
        app,
        PANEL,
        "publish",
        example="./brokerctl publish admin paragon/clockwork/commands/door open --retain",
    )(publish)


def watch(
    user: UserArgument,
    topic: Annotated[
        str, typer.Argument(help="A topic, or a filter with + and #.", metavar="[TOPIC]")
    ] = "#",
    stack: StackOption = "dev",
    *,
    count: Annotated[
        int, typer.Option("--count", min=0, help="End after so many messages; 0 has no end.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """
    Print the messages that a user receives, one per line, as they arrive.

    JSON: a document per message, with topic and payload.
    """
    from json import dumps

    from cli.messages.watch import line
    from cli.messages.watch import watch as messages
    from cli.stack import Stack

    for message in messages(Stack.read(stack), user, topic, count=count):
        payload = message.payload.decode("utf-8", "backslashreplace")
        text = dumps({"topic": message.topic, "payload": payload}) if json else line(message)
        print(text, flush=True)


def publish(
    user: UserArgument,
    topic: Annotated[str, typer.Argument(help="One topic.", metavar="TOPIC", show_default=False)],
    message: Annotated[
        str, typer.Argument(help="The payload.", metavar="[MESSAGE]", show_default=False)
    ] = "",
    stack: StackOption = "dev",
    *,
    retain: Annotated[bool, typer.Option("--retain", help="Have the broker retain it.")] = False,
    json: JsonOption = False,
) -> None:
    """
    Publish one message. Exits with 1 if no rule grants it, or if the broker does not retain it.

    JSON: user, topic, accepted, reason, retained (null: the user may not read the topic),
    hasSubscribers.
    """
    from cli.messages.publish import publish as send
    from cli.messages.publish import require_accepted
    from cli.stack import Stack
    from cli.terminal import json_result

    declared = Stack.read(stack)
    with json_result(enabled=json) as result:
        published = send(declared, user, topic, message, retain=retain)
        result.update(published.as_data())
        require_accepted(declared, published)
        print(published.as_text())
