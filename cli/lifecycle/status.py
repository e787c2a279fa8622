"""Read health, clients, rates and memory of the running broker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from broker.logs.log_parser import CHECK
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

LOGIN_SECONDS = 15
"""For one login inside the container, on a loaded host."""


def require_healthy(stack: Stack, status: Status) -> None:
    """
    Return if the broker runs and its health check does not fail.

    Raises:
        FindingError: it does not run, or the health check fails.

    """
    if not status.well:
        raise FindingError(
            f"the broker is not healthy. Its log: ./brokerctl logs --stack {stack.name}; to find "
            f"the cause: ./brokerctl check --stack {stack.name}"
        )


def require_login(stack: Stack) -> None:
    """
    Return if the container runs and the broker accepts the login of its health user.

    Pulumi compares the stack file with its state, and not with the host: it reports "unchanged" for
    a container that was stopped or removed by hand.

    Raises:
        CommandError: the broker is not up.

    """
    broker = stack.settings.broker
    name, host = broker.container, stack.transport.host
    state = docker(stack, "ps", "--all", "--filter", f"name=^{name}$", "--format", "{{.State}}")
    if not state.strip():
        raise CommandError(
            f"host {host}: Pulumi reports success, but there is no container {name}: it was "
            "removed by hand. Create it again: "
            f'eval "$(./brokerctl env --stack {stack.name})"; '
            f"pulumi up --refresh --stack {stack.name}"
        )
    if state.strip() != "running":
        paused = state.strip() == "paused"
        fix = f"docker unpause {name}" if paused else f"./brokerctl restart --stack {stack.name}"
        raise CommandError(
            f"host {host}: Pulumi reports success, but container {name} is {state.strip()}. "
            f"Start it: {fix}"
        )
    _, listener = broker.mqtt_listener()
    login = [
        *("exec", name, "timeout", str(LOGIN_SECONDS), "mosquitto_sub"),
        *("-h", broker.address_in_container, "-p", str(listener.port)),
        *("-t", f"{SYSTEM}uptime", "-C", "1", "-W", str(LOGIN_SECONDS - 1), "-I", f"{CHECK}up-"),
    ]
    try:
        docker(stack, *login)
    except CommandError as error:
        raise CommandError(
            f"host {host}: Pulumi reports success, but the broker does not accept the login of its "
            f"health user: {error}\nTo find the cause: ./brokerctl check --stack {stack.name}"
        ) from None


def read_status(stack: Stack) -> Status:
    """Ask Docker, and the broker itself if a user may read its statistics."""
    container = stack.settings.broker.container
    status = Status.parse(docker(stack, "inspect", "--format", INSPECT, container))
    if status.state != "running":
        return status
    with ThreadPoolExecutor() as pool:
        # Docker measures the processor for a second.
        used = pool.submit(docker, stack, "stats", "--no-stream", "--format", STATS, container)
        sockets = pool.submit(docker, stack, "exec", container, "sh", "-c", _SOCKETS)
        try:
            reader, system = _statistics(stack)
        except CommandError as error:
            status = replace(status, unread=str(error))
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
    reader = next((user for user in readers(stack.settings) if user in known), "")
    if not reader:
        return "", {}
    with client_of_user(stack, reader, outputs) as client:
        for topics in TOPICS.values():
            for _, topic in topics:
                client.require_subscription(SYSTEM + topic)
        # The broker delivers the retained messages before it answers this subscription.
        client.require_subscription(f"{SYSTEM}version")
        found = {
            message.topic: message.payload.decode("utf-8", "replace")
            for message in client.pending_messages()
        }
    return reader, found
