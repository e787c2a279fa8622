"""An MQTT 5 client for tests, whose methods return once the broker has answered."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

PATIENCE = 60.0
DENIED = "Not authorized"
SUCCESS = "Success"
HOST = "127.0.0.1"


class Refused(Exception):
    """The broker refused the connection; the text is its reason."""


@dataclass(frozen=True)
class Message:
    topic: str
    text: str
    retained: bool


class Client:
    """A client that does not reconnect."""

    def __init__(
        self,
        port: int,
        user: str | None = None,
        password: str | None = None,
        *,
        websocket: bool = False,
        session: str | None = None,
        expiry: int = 3600,
        acknowledge: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.received: list[Message] = []
        self.disconnected: str | None = None
        self._changed = threading.Condition()
        self._connected: str | None = None
        self._answers: dict[int, str] = {}
        self._paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=session or "",
            protocol=paho.MQTTv5,
            transport="websockets" if websocket else "tcp",
            reconnect_on_failure=False,
            manual_ack=not acknowledge,
        )
        if user is not None:
            self._paho.username_pw_set(user, password)
        if tls is not None:
            self._paho.tls_set_context(tls)
        self._paho.on_connect = self._on_connect
        self._paho.on_disconnect = self._on_disconnect
        self._paho.on_message = self._on_message
        self._paho.on_publish = self._on_publish
        self._paho.on_subscribe = self._on_subscribe
        properties = Properties(PacketTypes.CONNECT)
        if session is not None:
            properties.SessionExpiryInterval = expiry
        self._paho.connect(
            HOST, port, keepalive=60, clean_start=session is None, properties=properties
        )
        self._paho.loop_start()
        self._await(lambda: self._connected or self.disconnected)
        if self._connected != SUCCESS:
            reason = self._connected or self.disconnected or ""
            self.close()
            raise Refused(reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    @property
    def local_port(self) -> int:
        """The local port of the TCP connection; it changes after a reconnect."""
        return int(self._paho.socket().getsockname()[1])

    def subscribe(self, *filters: str, qos: int = 1) -> None:
        """Subscribe; a granted subscription does not mean that messages are delivered."""
        _, mid = self._paho.subscribe(
            [(topic_filter, paho.SubscribeOptions(qos=qos)) for topic_filter in filters]
        )
        self._answer(mid)

    def publish(
        self, topic: str, text: str | bytes = "", *, qos: int = 1, retain: bool = False
    ) -> str:
        """Return the reason of the PUBACK: ``SUCCESS``, ``DENIED``, ..."""
        sent = self._paho.publish(topic, text, qos=qos, retain=retain)
        return self._answer(sent.mid)

    def got(self, topic: str, text: str | None = None, *, within: float = PATIENCE) -> Message:
        """Return the first message on *topic*, once it has arrived."""

        checked = 0

        def find() -> Message | None:
            nonlocal checked
            # A test may have cleared the list.
            checked = min(checked, len(self.received))
            for message in self.received[checked:]:
                checked += 1
                if message.topic == topic and text in (None, message.text):
                    return message
            return None

        found = self._await(find, within=within, of=f"{topic} ({text})")
        assert isinstance(found, Message)
        return found

    def is_dropped(self, *, within: float = PATIENCE) -> str:
        """Return why the broker closed the connection, once it has."""
        return str(self._await(lambda: self.disconnected, within=within, of="a disconnect"))

    def _answer(self, mid: int | None) -> str:
        assert mid is not None
        answer = self._await(lambda: self._answers.get(mid) or self.disconnected, of=f"mid {mid}")
        return str(answer)

    def _await(
        self, predicate: Callable[[], Any], *, within: float = PATIENCE, of: str = "an answer"
    ) -> Any:
        deadline = time.monotonic() + within
        with self._changed:
            while not (found := predicate()):
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    topics = [message.topic for message in self.received]
                    raise TimeoutError(f"{of}: not within {within} s; received: {topics}")
            return found

    def _tell(self, change: Callable[[], Any]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._tell(lambda: setattr(self, "_connected", str(reason)))

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._tell(lambda: setattr(self, "disconnected", str(reason)))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        text = message.payload.decode(errors="replace")
        arrived = Message(message.topic, text, bool(message.retain))
        self._tell(lambda: self.received.append(arrived))

    def _on_publish(
        self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._tell(lambda: self._answers.__setitem__(mid, str(reason)))

    def _on_subscribe(
        self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        self._tell(lambda: self._answers.__setitem__(mid, ", ".join(map(str, reasons))))


def login_error(
    port: int, user: str | None, password: str | None, *, websocket: bool = False
) -> str:
    """Return the reason with which the broker refuses this login; fail if it accepts it."""
    try:
        Client(port, user, password, websocket=websocket).close()
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"the broker accepted the login of {user!r}")


def topic_of(topic_filter: str, word: str = "any") -> str:
    """Return a topic that *topic_filter* matches."""
    return topic_filter.replace("+", word).replace("#", word)
