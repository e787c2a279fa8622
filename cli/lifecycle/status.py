"""Health, clients, rates and memory of the broker that runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from broker.monitoring.status import (
    INSPECT,
    STATS,
    SYSTEM,
    TOPICS,
    Status,
    connections,
    readers,
)
from cli.errors import CommandError, FindingError
from cli.mqtt_client import client_of_user
from cli.pulumi import Pulumi
from cli.run_on_host import docker
from cli.stack import Stack
from cli.users.credentials import all_logins


def judge(stack: Stack, status: Status) -> None:
    """
    Pass a broker that runs and whose health check does not fail.

    Raises:
        FindingError: this one is not well.

    """
    if not status.well:
        raise FindingError(
            f"the broker is not well. What it said: ./brokerctl logs --stack {stack.name}; what is "
            f"wrong: ./brokerctl check --stack {stack.name}"
        )


def look(stack: Stack) -> Status:
    """Ask Docker, and the broker itself where somebody may read its statistics."""
    container = stack.settings.broker.container
    status = Status.parse(docker(stack, "inspect", "--format", INSPECT, container))
    if status.state != "running":
        return status
    with ThreadPoolExecutor() as pool:
        # Docker watches for a second before it says how much the processor does.
        used = pool.submit(docker, stack, "stats", "--no-stream", "--format", STATS, container)
        sockets = pool.submit(docker, stack, "exec", container, "sh", "-c", _SOCKETS)
        try:
            reader, system = _statistics(stack)
        except CommandError as wrong:
            status = replace(status, unread=str(wrong))
            reader, system = "", {}
        memory, _, processor = used.result().strip().partition("|")
        counted = connections(stack.settings, sockets.result())
    return replace(
        status,
        memory=memory,
        processor=processor,
        connections=counted,
        reader=reader,
        system=system,
    )


# A kernel without IPv6 has no second table.
_SOCKETS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null || :"


def _statistics(stack: Stack) -> tuple[str, dict[str, str]]:
    outputs = Pulumi.ready(stack).outputs()
    known = all_logins(stack.settings, outputs)
    reader = next((each for each in readers(stack.settings) if each in known), "")
    if not reader:
        return "", {}
    with client_of_user(stack, reader, outputs) as client:
        for topics in TOPICS.values():
            for _, topic in topics:
                client.require_subscription(SYSTEM + topic)
        # Retained messages stand before the answer to what is asked after them.
        client.require_subscription(f"{SYSTEM}version")
        found = {
            message.topic: message.payload.decode("utf-8", "replace")
            for message in client.pending_messages()
        }
    return reader, found
