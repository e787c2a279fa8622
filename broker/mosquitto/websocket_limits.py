"""Limits that the WebSockets of Mosquitto 2.0 (libwebsockets) do not obey."""

from __future__ import annotations

from broker.findings import PROJECT, Finding, warning
from broker.settings.broker_settings import Broker


def websocket_warnings(broker: Broker) -> list[Finding]:
    """
    Return a warning for each WebSocket listener of 2.0 that everyone may reach.

    Measured by tests/integration/test_mosquitto_limits.py: a packet is buffered whatever its size,
    also before a login, and clients are not counted.
    """
    if not broker.is_2_0:
        return []
    return [
        warning(
            f"{PROJECT}:broker.listeners.{name}",
            "the WebSockets of Mosquitto 2.0 obey neither maxPacketSize nor maxConnections, so "
            "any client, also one without a login, can use up the broker's memory",
            "Use an image of 2.1, or declare allowFrom.",
        )
        for name, listener in broker.listeners.items()
        if listener.protocol == "websockets"
        and listener.open_to_everyone
        and not listener.bound.is_loopback
    ]
