"""Publish one message, and report whether the broker accepted it."""

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

NO_SUBSCRIBERS = 0x10
"""MQTT 5, 3.4.2.1: accepted, without a matching subscriber."""


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """The broker's answer to one message. It reports a denied message to MQTT 5 clients only."""

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
            "integration": self.accepted,
            "reason": self.reason,
            "retained": self.retained,
            "hasSubscribers": self.has_subscribers,
        }

    def as_text(self) -> str:
        """Return one line for a person."""
        delivery = "delivered" if self.has_subscribers else "no subscribers now"
        return f"{self.topic}: accepted, {'retained, ' if self.retained else ''}{delivery}"


def publish(stack: Stack, user: str, topic: str, message: str, *, retain: bool) -> PublishResult:
    """
    Publish *message* with QoS 1, and return the broker's answer.

    Raises:
        CommandError: the topic or the user is wrong, or the broker can't be reached.

    """
    _require_topic(topic)
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
        has_subscribers=accepted and code.value != NO_SUBSCRIBERS,
    )


def require_accepted(stack: Stack, result: PublishResult) -> None:
    """
    Return if the broker accepted the message.

    Raises:
        CommandError: no rule grants it.

    """
    if not result.accepted:
        raise CommandError(
            f"the broker did not accept it: {result.reason}. Which rule denies it: ./brokerctl "
            f"explain {shlex.join((result.user, result.topic))} --stack {stack.name}"
        )


def _require_topic(topic: str) -> None:
    """
    Return if *topic* is a topic without wildcards.

    Raises:
        NotPerformedError: it is not.

    """
    try:
        check_filter(topic)
    except ValueError as error:
        raise NotPerformedError(f"topic {topic!r}: {error}") from None
    if set(topic) & set("+#"):
        raise NotPerformedError(f"topic {topic!r}: wildcards are for subscriptions; name one topic")
