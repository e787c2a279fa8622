"""Put the stack file's expectations to the running broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.expectations import Expectation
from broker.access.rules import Principal
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings
from cli.errors import FindingError
from cli.mqtt_client import MqttClient, stack_ca
from cli.users.credentials import Credential

LEVEL = "sentient-mqtt-expectation"
"""A level that no device uses, in place of wildcards: no device receives what is published."""

NOT_AUTHORISED = 0x87
"""MQTT 5, 3.4.2.1: the reason code of a PUBACK for a message that no rule grants."""
MARKS = {True: "held", False: "NOT HELD", None: "not asked"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whether the broker behaves as one expectation says, for one user."""

    text: str
    held: bool | None
    """None if the broker could not be asked."""


def render(answers: list[Answer]) -> list[str]:
    """Return a line per answer, then the number of answers as expected."""
    asked = [answer for answer in answers if answer.held is not None]
    held = sum(bool(answer.held) for answer in asked)
    return [
        *(f"  {MARKS[answer.held]}: {answer.text}" for answer in answers),
        f"{held} of {len(asked)} answers of the broker as expected.",
    ]


def as_data(answers: list[Answer]) -> list[dict[str, Any]]:
    """Return the answers for JSON; ``held`` is null if the broker could not be asked."""
    return [{"expected": answer.text, "held": answer.held} for answer in answers]


def require_held(answers: list[Answer]) -> None:
    """
    Return if the broker violates no expectation.

    Raises:
        FindingError: it violates one.

    """
    if any(answer.held is False for answer in answers):
        raise FindingError(
            "the broker violates expectations of the stack file: see NOT HELD above."
        )


def ask_all(settings: Settings, outputs: Mapping[str, Any]) -> list[Answer]:
    """
    Put each expectation to the broker, for each user that it names and that has a login.

    Raises:
        UnreachableError: the broker can't be reached from this machine.
        CommandError: the broker refuses a login, or does not answer.

    """
    principals = effective_rules(settings)
    credentials: Mapping[str, Mapping[str, str]] = outputs.get("credentials", {})
    asker = _Asker(settings.broker, stack_ca(outputs), principals, credentials)
    answers: list[Answer] = []
    for sentence in settings.expect:
        expectation = Expectation.parse(sentence)
        for principal in expectation.about(principals):
            if principal.name in credentials:
                allowed = asker.ask(principal.name, expectation)
                held = None if allowed is None else allowed == expectation.allowed
                text = f"{sentence} ({principal.name})"
                answers.append(Answer(text=text, held=held))
    return answers


@dataclass(frozen=True)
class _Asker:
    broker: Broker
    ca: str
    principals: Mapping[str, Principal]
    credentials: Mapping[str, Mapping[str, str]]

    def ask(self, user: str, expectation: Expectation) -> bool | None:
        """Return whether the broker lets *user* do it, or None if nothing can be asked."""
        topic = _concrete(expectation.filter)
        if expectation.direction == "write":
            return self._may_write(user, topic)
        if topic.startswith("$SYS"):
            return self._receives(user, expectation.filter, None, topic)
        writers = [
            name
            for name, principal in self.principals.items()
            if name in self.credentials and evaluate(principal, "publish", topic).allowed
        ]
        return self._receives(user, topic, writers[0], topic) if writers else None

    def _may_write(self, user: str, topic: str) -> bool:
        with self._client(user) as client:
            return client.publish(topic, expiry_seconds=1).value != NOT_AUTHORISED

    def _receives(self, user: str, filter_: str, writer: str | None, topic: str) -> bool:
        with self._client(user) as reader:
            reader.subscribe(filter_, qos=1)
            if writer is not None:
                with self._client(writer) as publisher:
                    publisher.publish(topic, expiry_seconds=1)
            # The broker delivers the message, if at all, before it answers this subscription.
            reader.subscribe(f"{LEVEL}/barrier", qos=1)
            return bool(reader.pending_messages())

    def _client(self, user: str) -> MqttClient:
        credential = Credential(
            self.credentials[user]["username"], self.credentials[user]["password"]
        )
        return MqttClient(self.broker, self.broker.password_listener(), credential, self.ca)


def _concrete(filter_: str) -> str:
    """Return a topic that *filter_* matches."""
    return "/".join(LEVEL if level in ("+", "#") else level for level in filter_.split("/"))
