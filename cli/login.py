"""What a broker answers to one login, through any kind of listener."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from broker.checks.observations import LET_IN, REFUSED
from broker.logs.log_parser import CHECK
from broker.settings.listener_settings import Listener
from cli.trusted_ca import trust

SECONDS = 5


def login(
    host: str, listener: Listener, user: str | None, password: str | None, ca: str = ""
) -> str:
    """Return ``let in``, ``refused: why``, or why there was no answer; *ca* is PEM text."""
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{CHECK}{secrets.token_hex(8)}",
        protocol=mqtt.MQTTv5,
        transport="websockets" if listener.protocol == "websockets" else "tcp",
        reconnect_on_failure=False,
    )
    if user is not None:
        client.username_pw_set(user, password)
    if listener.tls is not None:
        client.tls_set_context(trust(listener, ca))
    client.connect_timeout = SECONDS
    answered = threading.Event()
    said: list[str] = []

    def on_connect(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        said.append(f"{REFUSED}: {str(code).lower()}" if code.is_failure else LET_IN)
        answered.set()

    def on_disconnect(*_: Any) -> None:
        said.append("no answer: the connection was closed")
        answered.set()

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    try:
        client.connect(host, listener.port, keepalive=SECONDS * 2)
    except (OSError, mqtt.WebsocketConnectionError) as wrong:
        return f"no answer: {wrong}"
    client.loop_start()
    try:
        if not answered.wait(SECONDS):
            return f"no answer within {SECONDS} seconds"
        return said[0]
    finally:
        with contextlib.suppress(OSError):
            client.disconnect()
        client.loop_stop()


def address_towards(host: str, port: int) -> str:
    """Return the address that *host* sees this machine by; nothing is sent."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as asked:
            asked.connect(place)
            return str(asked.getsockname()[0])
    except OSError:
        return ""
