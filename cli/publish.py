"""One message, and whether the broker took it."""

from __future__ import annotations

import shlex

from broker.access.topic_filters import check_filter
from cli.credentials import check_declared
from cli.deployed import require_up
from cli.mqtt_client import client_of_user
from cli.pulumi import Pulumi
from cli.refusals import NotAsked, Refusal
from cli.stack import Stack

NOBODY = 0x10
"""MQTT 5, 3.4.2.1: taken, and nobody subscribes to it."""


def publish(stack: Stack, user: str, topic: str, message: str, *, retain: bool) -> str:
    """
    Publish it, and return what became of it.

    Raises:
        Refusal: no rule grants it; an MQTT 3 client would not be told.

    """
    _check_name(topic)
    check_declared(user, stack)
    require_up(stack)
    with client_of_user(stack, user, Pulumi.ready(stack).outputs()) as client:
        code = client.publish(topic, message.encode(), retain=retain)
    if code.is_failure:
        raise Refusal(
            f"the broker did not take it: {code}. Which rule decides: ./brokerctl explain "
            f"{shlex.join((user, topic))} --stack {stack.name}"
        )
    heard = "nobody subscribes to it now" if code.value == NOBODY else "passed on"
    return f"{topic}: taken, {'retained, ' if retain else ''}{heard}"


def _check_name(topic: str) -> None:
    try:
        check_filter(topic)
    except ValueError as wrong:
        raise NotAsked(f"topic {topic!r}: {wrong}") from None
    if any(each in topic for each in "+#"):
        raise NotAsked(f"topic {topic!r}: wildcards are for whoever receives; name one topic")
