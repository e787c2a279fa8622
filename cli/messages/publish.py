"""Publish one message, and report whether the broker accepted it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.topic_filters import check_filter
from cli.deployment_state import require_up
from cli.errors import CommandError, NotPerformedError
from cli.mqtt_client import MqttClient, client_of_user
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
    retained: bool | None
    """Whether the broker delivered it as retained; None if the user may not read the topic."""
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
        delivery = "delivered" if self.has_subscribers else "no subscribers now"
        retained = {
            True: "retained, ",
            False: "",
            None: f"not known to be retained ({self.user} may not read it), ",
        }[self.retained]
        return f"{self.topic}: accepted, {retained}{delivery}"


def publish(stack: Stack, user: str, topic: str, message: str, *, retain: bool) -> PublishResult:
    """
    Publish *message* with QoS 1, and return the broker's answer.

    A retained message is read again, if the user may read it.

    Raises:
        CommandError: the topic or the user is wrong, the broker can't be reached, or it does not
            retain the message.

    """
    _require_topic(topic)
    check_declared(user, stack)
    require_up(stack)
    with client_of_user(stack, user, Pulumi.ready(stack).outputs()) as client:
        code = client.publish(topic, message.encode(), retain=retain)
        retained: bool | None = False
        if retain and not code.is_failure:
            retained = _is_retained(stack, client, user, topic, message.encode())
    accepted = not code.is_failure
    return PublishResult(
        user=user,
        topic=topic,
        accepted=accepted,
        reason=str(code),
        retained=retained,
        has_subscribers=accepted and code.value != NO_SUBSCRIBERS,
    )


def _is_retained(
    stack: Stack, client: MqttClient, user: str, topic: str, payload: bytes
) -> bool | None:
    """
    Return whether the broker retains *payload*; None if *user* may not read *topic*.

    An empty payload deletes a retained message.

    Raises:
        CommandError: the broker retains another message, or none.

    """
    principal = effective_rules(stack.settings)[user]
    if find_example_topic(principal, "read", topic, allowed=True) is None:
        return None
    client.require_subscription(topic)
    # The broker delivers the retained message before it answers another request.
    client.require_subscription(topic)
    found = [message.payload for message in client.pending_messages() if message.retained]
    if payload in found:
        return True
    if not payload and not found:
        return False
    raise CommandError(
        f"{topic}: the broker accepted the message and "
        f"{'retains another one' if found else 'does not retain it'}. Another client may have "
        "replaced or deleted it meanwhile."
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
