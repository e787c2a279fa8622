"""Print the messages that a user receives."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from itertools import repeat

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.topic_filters import check_filter
from cli.deployment_state import require_up
from cli.errors import NotPerformedError
from cli.mqtt_client import Message, client_of_user
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.terminal import plain
from cli.users.credentials import check_declared


def watch(stack: Stack, user: str, topic: str, *, count: int) -> Iterator[Message]:
    """
    Yield the messages that arrive, until there were *count*; 0 has no end.

    Raises:
        CommandError: there is no such user or topic, or the connection ended.

    """
    try:
        check_filter(topic)
    except ValueError as error:
        raise NotPerformedError(f"topic {topic!r}: {error}") from None
    check_declared(user, stack)
    require_up(stack)
    with client_of_user(stack, user, Pulumi.ready(stack).outputs()) as client:
        # The broker grants every subscription, and withholds denied messages silently.
        if _may_receive_nothing(stack, user, topic):
            print(
                f"No rule lets {user} receive anything of {topic}. The rules: "
                f"./brokerctl explain {shlex.join((user, topic))} --stack {stack.name}",
                file=sys.stderr,
            )
        client.require_subscription(topic)
        for _ in range(count) if count else repeat(None):
            yield client.next_message()


def line(message: Message) -> str:
    """Return a message on one line, with control characters escaped."""
    text = message.payload.decode("utf-8", "backslashreplace")
    return f"{plain(message.topic)} {plain(text)}"


def _may_receive_nothing(stack: Stack, user: str, topic: str) -> bool:
    if topic.startswith("$share/"):
        return False
    principal = effective_rules(stack.settings)[user]
    return find_example_topic(principal, "read", topic, allowed=True) is None
