"""Try one login at a listener, and report what the broker answers."""

from __future__ import annotations

import secrets
import socket

from broker.checks.observations import LET_IN, REFUSED
from broker.logs.log_parser import CHECK
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from cli.mqtt_client import ConnectionEndedError, MqttClient, NoAnswerError, UnreachableError
from cli.users.credentials import Credential

SECONDS = 5


def try_login(
    broker: Broker, listener: Listener, credential: Credential | None, ca: str = ""
) -> str:
    """Return ``let in``, ``refused: why``, or why there was no answer; *ca* is PEM text."""
    client_id = f"{CHECK}{secrets.token_hex(8)}"
    client = MqttClient(broker, listener, credential, ca, client_id=client_id, seconds=SECONDS)
    try:
        code = client.connect()
    except UnreachableError as error:
        return f"no answer: {error.reason}"
    except NoAnswerError:
        return f"no answer within {SECONDS} seconds"
    except ConnectionEndedError:
        return "no answer: the connection was closed"
    client.close()
    return f"{REFUSED}: {str(code).lower()}" if code.is_failure else LET_IN


def address_towards(host: str, port: int) -> str:
    """Return this machine's address on the way to *host*; nothing is sent."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as connected:
            connected.connect(address)
            return str(connected.getsockname()[0])
    except OSError:
        return ""
