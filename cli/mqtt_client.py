"""The MQTT client of every command: one connection, one request at a time, no reconnection."""

from __future__ import annotations

import contextlib
import queue
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from broker.credentials.env_files import endpoint
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from cli.deployment_state import not_up_yet
from cli.errors import CommandError
from cli.stack import Stack
from cli.users.credentials import Credential, all_logins, check_declared

SECONDS = 10
"""How long the client waits for a connection, and for the answer to a request."""

KEEPALIVE = 60


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message that the broker delivered."""

    topic: str
    payload: bytes
    retained: bool = False


class UnreachableError(CommandError):
    """No connection to the broker can be opened from this machine."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: can't be reached from here: {reason}")
        self.reason = reason


class NoAnswerError(CommandError):
    """The broker did not answer a request in time."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(f"{url}: no answer within {seconds:g} seconds.")


class ConnectionEndedError(CommandError):
    """The connection ended before the broker answered."""

    def __init__(self, url: str, code: ReasonCode) -> None:
        super().__init__(f"{url}: the broker ended the connection: {code}.")


@dataclass(frozen=True)
class _Ended:
    """The connection ended; stands in the queues where an answer or a message is expected."""

    code: ReasonCode


class MqttClient:
    """
    One connection with MQTT 5. It does not reconnect: the caller learns that it ended.

    Entering it as a context manager connects; leaving it closes the connection.
    """

    def __init__(
        self,
        broker: Broker,
        listener: Listener,
        credential: Credential | None,
        ca: str,
        *,
        client_id: str = "",
        seconds: float = 0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        """
        Prepare a connection to *listener*; nothing is sent.

        *credential*: None logs in without a user name. *ca*: the stack's own CA as PEM, or empty.
        *seconds*: how long to wait for each answer; 0 stands for ``SECONDS``. *certificate*: the
        files of the client's certificate and of its key.
        """
        self.url = endpoint(broker, listener)
        self._address = (broker.address, listener.port)
        self._credential = credential
        self._seconds = seconds or SECONDS
        self._answers: queue.Queue[ReasonCode | _Ended] = queue.Queue()
        self._messages: queue.Queue[Message | _Ended] = queue.Queue()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=paho.MQTTv5,
            transport="websockets" if listener.protocol == "websockets" else "tcp",
            reconnect_on_failure=False,
        )
        if credential is not None:
            self._client.username_pw_set(credential.username, credential.password)
        if listener.tls is not None:
            context = tls_context(listener, ca)
            if certificate is not None:
                context.load_cert_chain(*certificate)
            self._client.tls_set_context(context)
        self._client.connect_timeout = self._seconds
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def __enter__(self) -> Self:
        code = self.connect()
        if code.is_failure:
            self.close()
            name = self._credential.username if self._credential else ""
            raise CommandError(f"{self.url}: refused the login of {name!r}: {code}.")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connect(self) -> ReasonCode:
        """
        Return the reason code of the broker's CONNACK.

        Raises:
            CommandError: the broker can't be reached, or did not answer. The connection is closed.

        """
        try:
            self._client.connect(*self._address, keepalive=KEEPALIVE)
        except (OSError, paho.WebsocketConnectionError) as error:
            raise UnreachableError(self.url, str(error)) from None
        self._client.loop_start()
        try:
            return self._answer()
        except BaseException:
            self.close()
            raise

    def publish(
        self, topic: str, payload: bytes = b"", *, retain: bool = False, expiry_seconds: int = 0
    ) -> ReasonCode:
        """
        Publish with QoS 1 and return the reason code of the broker's PUBACK.

        *expiry_seconds*: the broker discards the message after so many; 0 keeps it.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_seconds:
            properties.MessageExpiryInterval = expiry_seconds
        self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        return self._answer()

    def subscribe(self, filter_: str, *, qos: int = 0) -> ReasonCode:
        """Return the reason code of the broker's SUBACK."""
        self._client.subscribe(filter_, qos=qos)
        return self._answer()

    def require_subscription(self, filter_: str) -> None:
        """
        Subscribe to *filter_*.

        Raises:
            CommandError: the broker did not grant the subscription.

        """
        code = self.subscribe(filter_)
        if code.is_failure:
            raise CommandError(f"{self.url}: refused the subscription to {filter_}: {code}.")

    def next_message(self) -> Message:
        """
        Wait for the next message and return it.

        Raises:
            CommandError: the connection ended.

        """
        message = self._messages.get()
        if isinstance(message, _Ended):
            raise CommandError(f"{self.url}: the connection ended: {message.code}.")
        return message

    def pending_messages(self) -> list[Message]:
        """Return the messages that arrived and were not read yet, without waiting."""
        found: list[Message] = []
        while not self._messages.empty():
            found.append(self.next_message())
        return found

    def close(self) -> None:
        """Disconnect and stop the network thread."""
        with contextlib.suppress(OSError):
            self._client.disconnect()
        self._client.loop_stop()

    def _answer(self) -> ReasonCode:
        try:
            answer = self._answers.get(timeout=self._seconds)
        except queue.Empty:
            raise NoAnswerError(self.url, self._seconds) from None
        if isinstance(answer, _Ended):
            raise ConnectionEndedError(self.url, answer.code)
        return answer

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._answers.put(code)

    def _on_publish(
        self, _client: Any, _data: Any, _id: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._answers.put(code)

    def _on_subscribe(
        self, _client: Any, _data: Any, _id: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._answers.put(codes[0])

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._messages.put(
            Message(topic=message.topic, payload=message.payload, retained=message.retain)
        )

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._answers.put(_Ended(code))
        self._messages.put(_Ended(code))


def tls_context(listener: Listener, ca: str) -> ssl.SSLContext:
    """
    Return the TLS context for *listener*; *ca* is the stack's own CA as PEM, or empty.

    A certificate that the stack file names comes from another CA, usually one that the system
    trusts.
    """
    named = listener.tls is not None and listener.tls.given
    return ssl.create_default_context(cadata=None if named else ca or None)


def client_of_user(stack: Stack, user: str, outputs: Mapping[str, Any]) -> MqttClient:
    """
    Return a client that logs in as *user*, through a listener that takes a password.

    Raises:
        CommandError: there is no such user, or the stack does not know the password.

    """
    check_declared(user, stack)
    logins = all_logins(stack.settings, outputs)
    if user not in logins:
        declared = stack.settings.users.get(user)
        if declared is not None and not declared.password_known:
            raise CommandError(
                f"user {user}: was adopted with its hash; only its clients know the password."
            )
        raise not_up_yet(stack.name, user)
    broker = stack.settings.broker
    return MqttClient(broker, broker.password_listener(), logins[user], stack_ca(outputs))


def stack_ca(outputs: Mapping[str, Any]) -> str:
    """Return the certificate of the stack's own CA as PEM, or an empty string."""
    return str(outputs.get("certificates", {}).get("ca", ""))
