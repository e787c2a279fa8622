"""The stack file's expectations, put to the broker that runs."""

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

# A level that no device uses: what is published for a question reaches nobody's topic.
LEVEL = "sentient-mqtt-expectation"
NOT_AUTHORISED = 0x87
"""MQTT 5, 3.4.2.1: the reason code of a PUBACK for a publish that no rule grants."""
MARKS = {True: "held", False: "NOT HELD", None: "not asked"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the broker said to one question."""

    text: str
    held: bool | None
    """None where it could not be asked."""


def render(answers: list[Answer]) -> list[str]:
    """Return a line for each answer, and how many were as expected."""
    asked = [answer for answer in answers if answer.held is not None]
    held = sum(bool(answer.held) for answer in asked)
    return [
        *(f"  {MARKS[answer.held]}: {answer.text}" for answer in answers),
        f"{held} of {len(asked)} answers of the broker as expected.",
    ]


def as_data(answers: list[Answer]) -> list[dict[str, Any]]:
    """Return the answers for JSON; ``held`` is null where the broker could not be asked."""
    return [{"expected": answer.text, "held": answer.held} for answer in answers]


def judge(answers: list[Answer]) -> None:
    """
    Pass if no answer was another one than the expected.

    Raises:
        FindingError: one was.

    """
    if any(answer.held is False for answer in answers):
        raise FindingError(
            "the broker answers otherwise than the stack file expects; see NOT HELD."
        )


def ask_all(settings: Settings, outputs: Mapping[str, Any]) -> list[Answer]:
    """
    Put each expectation to the broker, for each user of whom it speaks and who has a login.

    Raises:
        UnreachableError: no question can be put from here.
        CommandError: the broker lets somebody not in, or doesn't answer.

    """
    everybody = effective_rules(settings)
    credentials: Mapping[str, Mapping[str, str]] = outputs.get("credentials", {})
    asker = _Asker(settings.broker, stack_ca(outputs), everybody, credentials)
    answers: list[Answer] = []
    for sentence in settings.expect:
        expectation = Expectation.parse(sentence)
        for principal in expectation.about(everybody):
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
    everybody: Mapping[str, Principal]
    credentials: Mapping[str, Mapping[str, str]]

    def ask(self, user: str, expectation: Expectation) -> bool | None:
        """Return what the broker lets *user* do, or None where no question can show it."""
        topic = _concrete(expectation.filter)
        if expectation.direction == "write":
            return self._may_write(user, topic)
        if topic.startswith("$SYS"):
            return self._receives(user, expectation.filter, None, topic)
        writers = [
            name
            for name, each in self.everybody.items()
            if name in self.credentials and evaluate(each, "publish", topic).allowed
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
    return "/".join(LEVEL if level in ("+", "#") else level for level in filter_.split("/"))
