"""The stack file's expectations, put to the broker that runs."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.expectations import Expectation
from broker.access.rules import Principal
from broker.settings.listener_settings import Listener
from broker.settings.stack_settings import Settings
from cli.refusals import Finding, Refusal
from cli.trusted_ca import trust

SECONDS = 10
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


def judge(answers: list[Answer]) -> None:
    """
    Pass if no answer was another one than the expected.

    Raises:
        Finding: one was.

    """
    if any(answer.held is False for answer in answers):
        raise Finding("the broker answers otherwise than the stack file expects; see NOT HELD.")


class UnreachableError(Refusal):
    """From here nobody can ask the broker anything."""


def ask_all(settings: Settings, outputs: Mapping[str, Any]) -> list[Answer]:
    """
    Put each expectation to the broker, for each user of whom it speaks and who has a login.

    Raises:
        UnreachableError: no question can be put from here.
        Refusal: the broker lets somebody not in, or doesn't answer.

    """
    everybody = effective_rules(settings)
    credentials: Mapping[str, Mapping[str, str]] = outputs.get("credentials", {})
    listener = settings.broker.password_listener()
    ca = str(outputs.get("certificates", {}).get("ca", ""))
    asker = _Asker(settings.broker.address, listener, ca, everybody, credentials)
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
    host: str
    listener: Listener
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
            return client.publish(topic) != NOT_AUTHORISED

    def _receives(self, user: str, filter_: str, writer: str | None, topic: str) -> bool:
        with self._client(user) as reader:
            reader.subscribe(filter_)
            if writer is not None:
                with self._client(writer) as publisher:
                    publisher.publish(topic)
            # What was to be delivered stands before this answer.
            reader.subscribe(f"{LEVEL}/barrier")
            return bool(reader.received)

    @contextmanager
    def _client(self, user: str) -> Iterator[_Client]:
        client = _Client(
            self.host,
            self.listener,
            self.ca,
            self.credentials[user]["username"],
            self.credentials[user]["password"],
        )
        try:
            yield client
        finally:
            client.close()


@dataclass(frozen=True)
class _Ended:
    """Takes the place of an answer where the connection ended before it."""

    code: ReasonCode


class _Client:
    """One connection, asked one thing at a time; it does not connect again by itself."""

    def __init__(self, host: str, listener: Listener, ca: str, user: str, password: str) -> None:
        self._url = f"{listener.scheme}://{host}:{listener.port}"
        self.received: list[str] = []
        self._answers: queue.Queue[Any] = queue.Queue()
        self._mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self._mqtt.username_pw_set(user, password)
        if listener.tls is not None:
            self._mqtt.tls_set_context(trust(listener, ca))
        self._mqtt.connect_timeout = SECONDS
        self._mqtt.on_connect = lambda _c, _d, _f, code, _p: self._answers.put(code)
        self._mqtt.on_publish = lambda _c, _d, _m, code, _p: self._answers.put(code)
        self._mqtt.on_subscribe = lambda _c, _d, _m, codes, _p: self._answers.put(codes)
        self._mqtt.on_message = lambda _c, _d, message: self.received.append(message.topic)
        self._mqtt.on_disconnect = lambda _c, _d, _f, code, _p: self._answers.put(_Ended(code))
        try:
            self._mqtt.connect(host, listener.port)
        except OSError as wrong:
            raise UnreachableError(f"{self._url}: can't be reached from here: {wrong}") from None
        self._mqtt.loop_start()
        try:
            code = self._await()
        except BaseException:
            self.close()
            raise
        if code.is_failure:
            self.close()
            raise Refusal(f"{self._url}: the login of {user!r} was refused.")

    def publish(self, topic: str) -> int:
        """Return the reason code of the broker's PUBACK."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = 1
        self._mqtt.publish(topic, b"", qos=1, properties=properties)
        return int(self._await().value)

    def subscribe(self, filter_: str) -> None:
        """Return when the broker has answered."""
        self._mqtt.subscribe(filter_, qos=1)
        self._await()

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def _await(self) -> Any:
        """
        Return the next answer.

        Raises:
            Refusal: the connection ended before it, or there was none in time.

        """
        try:
            answer = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            raise Refusal(
                f"{self._url}: the broker gave no answer within {SECONDS} seconds."
            ) from None
        if isinstance(answer, _Ended):
            raise Refusal(f"{self._url}: the broker ended the connection: {answer.code}.")
        return answer


def _concrete(filter_: str) -> str:
    return "/".join(LEVEL if level in ("+", "#") else level for level in filter_.split("/"))
