"""One message, and whether the broker took it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from broker.access.topic_filters import check_filter
from cli.deployment_state import require_up
from cli.errors import CommandError, NotPerformedError
from cli.mqtt_client import client_of_user
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.users.credentials import check_declared

NOBODY = 0x10
"""MQTT 5, 3.4.2.1: taken, and nobody subscribes to it."""


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """What the broker answered to one message; it tells MQTT 5 clients alone of a denied one."""

    user: str
    topic: str
    accepted: bool
    reason: str
    retained: bool
    has_subscribers: bool

    def as_data(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "user": self.user,
            "topic": self.topic,
            "accepted": self.accepted,
            "reason": self.reason,
            "retained": self.retained,
            "hasSubscribers": self.has_subscribers,
        }

    def as_text(self) -> str:
        """Return one line for a person."""
        delivery = "passed on" if self.has_subscribers else "nobody subscribes to it now"
        return f"{self.topic}: taken, {'retained, ' if self.retained else ''}{delivery}"


def publish(stack: Stack, user: str, topic: str, message: str, *, retain: bool) -> PublishResult:
    """
    Publish *message* with QoS 1, and return the broker's answer.

    Raises:
        CommandError: the topic or the user is wrong, or the broker can't be reached.

    """
    _check_name(topic)
    check_declared(user, stack)
    require_up(stack)
    with client_of_user(stack, user, Pulumi.ready(stack).outputs()) as client:
        code = client.publish(topic, message.encode(), retain=retain)
    accepted = not code.is_failure
    return PublishResult(
        user=user,
        topic=topic,
        accepted=accepted,
        reason=str(code),
        retained=accepted and retain,
        has_subscribers=accepted and code.value != NOBODY,
    )


def require_accepted(stack: Stack, result: PublishResult) -> None:
    """
    Return if the broker accepted the message.

    Raises:
        CommandError: no rule grants it.

    """
    if not result.accepted:
        raise CommandError(
            f"the broker did not take it: {result.reason}. Which rule decides: ./brokerctl explain "
            f"{shlex.join((result.user, result.topic))} --stack {stack.name}"
        )


def _check_name(topic: str) -> None:
    try:
        check_filter(topic)
    except ValueError as wrong:
        raise NotPerformedError(f"topic {topic!r}: {wrong}") from None
    if any(each in topic for each in "+#"):
        raise NotPerformedError(
            f"topic {topic!r}: wildcards are for whoever receives; name one topic"
        )
