"""A client of the stack's broker, connected as one of its users, asked one thing at a time."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from broker.credentials.env_files import endpoint
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from cli.credentials import Credential, all_logins, check_declared
from cli.deployed import not_up_yet
from cli.refusals import Refusal
from cli.stack import Stack
from cli.trusted_ca import trust

SECONDS = 10
KEEPALIVE = 60


@dataclass(frozen=True, kw_only=True)
class Message:
    """What came in."""

    topic: str
    payload: bytes


class Connection:
    """It does not connect again by itself: whoever waits for messages is told that it ended."""

    def __init__(self, broker: Broker, listener: Listener, login: Credential, ca: str) -> None:
        self._url = endpoint(broker, listener)
        self._answers: queue.Queue[Any] = queue.Queue()
        self._messages: queue.Queue[Message | ReasonCode] = queue.Queue()
        self._mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        self._mqtt.username_pw_set(login.username, login.password)
        if listener.tls is not None:
            self._mqtt.tls_set_context(trust(listener, ca))
        self._mqtt.connect_timeout = SECONDS
        self._mqtt.on_connect = lambda _c, _d, _f, code, _p: self._answers.put(code)
        self._mqtt.on_publish = lambda _c, _d, _m, code, _p: self._answers.put(code)
        self._mqtt.on_subscribe = lambda _c, _d, _m, codes, _p: self._answers.put(codes[0])
        self._mqtt.on_message = lambda _c, _d, each: self._messages.put(
            Message(topic=each.topic, payload=each.payload)
        )
        self._mqtt.on_disconnect = self._ended
        try:
            self._mqtt.connect(broker.address, listener.port, keepalive=KEEPALIVE)
        except OSError as wrong:
            raise Refusal(f"{self._url}: can't be reached from here: {wrong}") from None
        self._mqtt.loop_start()
        try:
            code = self._answer()
        except Refusal:
            self.close()
            raise
        if code.is_failure:
            self.close()
            raise Refusal(f"{self._url}: refused the login of {login.username!r}: {code}.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> ReasonCode:
        """Return what the broker's PUBACK says."""
        self._mqtt.publish(topic, payload, qos=1, retain=retain)
        return self._answer()

    def subscribe(self, filter_: str) -> None:
        """
        Return when the broker has granted it.

        Raises:
            Refusal: it did not.

        """
        self._mqtt.subscribe(filter_)
        code = self._answer()
        if code.is_failure:
            raise Refusal(f"{self._url}: refused the subscription to {filter_}: {code}.")

    def next(self) -> Message:
        """
        Return the next message, whenever it comes.

        Raises:
            Refusal: the connection ended.

        """
        each = self._messages.get()
        if isinstance(each, Message):
            return each
        raise Refusal(f"{self._url}: the connection ended: {each}.")

    def waiting(self) -> list[Message]:
        """Return the messages that have come in and were not asked for yet."""
        found: list[Message] = []
        while not self._messages.empty():
            found.append(self.next())
        return found

    def close(self) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def _ended(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _more: Any) -> None:
        self._answers.put(code)
        self._messages.put(code)

    def _answer(self) -> ReasonCode:
        try:
            code: ReasonCode = self._answers.get(timeout=SECONDS)
        except queue.Empty:
            raise Refusal(f"{self._url}: no answer within {SECONDS} seconds.") from None
        return code


def connect(stack: Stack, user: str, outputs: Mapping[str, Any]) -> Connection:
    """
    Return a connection of *user*, through a listener that asks for a password.

    Raises:
        Refusal: there is no such user, nobody here knows the password, or the broker refuses.

    """
    check_declared(user, stack)
    logins = all_logins(stack.settings, outputs)
    if user not in logins:
        declared = stack.settings.users.get(user)
        if declared is not None and not declared.password_known:
            raise Refusal(
                f"user {user}: was adopted with its hash; only its clients know the password."
            )
        raise not_up_yet(stack.name, user)
    ca = str(outputs.get("certificates", {}).get("ca", ""))
    broker = stack.settings.broker
    return Connection(broker, broker.password_listener(), logins[user], ca)
