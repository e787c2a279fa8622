"""Read health, clients, rates and memory of the running broker."""

from __future__ import annotations

import time
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
START_SECONDS = 40.0
"""Until a broker that was started or reloaded accepts a login."""
START = {
    "paused": ("unpause", "was paused"),
    "exited": ("start", "was stopped"),
    "created": ("start", "was never started"),
    # Docker waits for up to a minute between two attempts.
    "restarting": ("restart", "did not start until now"),
}
"""By the state of a container: the command that starts it, and what happened to it."""


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
    Start the container if it does not run, and return once its health user has logged in.

    It may have been stopped since Pulumi looked at it.

    Raises:
        CommandError: the container does not exist, or the broker does not accept a login.

    """
    name, host = stack.settings.broker.container, stack.transport.host
    state = container_state(stack)
    if not state:
        raise CommandError(
            f"host {host}: there is no container {name}: it was removed meanwhile. Create it "
            f"again: ./brokerctl up --stack {stack.name}"
        )
    if state in START:
        command, reason = START[state]
        print(f"Container {name} {reason}: docker {command} {name}")
        docker(stack, command, name)
    deadline = time.monotonic() + START_SECONDS
    while error := login_error(stack):
        if time.monotonic() > deadline or container_state(stack) not in ("running", "restarting"):
            raise CommandError(
                f"host {host}: Pulumi reports success, but the broker does not accept the login of "
                f"its health user: {error}\n"
                f"To find the cause: ./brokerctl check --stack {stack.name}"
            )
        time.sleep(0.2)


def container_state(stack: Stack) -> str:
    """Return Docker's word for the state of the container; empty if there is none."""
    name = stack.settings.broker.container
    listed = docker(stack, "ps", "--all", "--filter", f"name=^{name}$", "--format", "{{.State}}")
    return listed.strip()


def login_error(stack: Stack) -> str:
    """Return why the health user cannot log in inside the container; empty if it can."""
    broker = stack.settings.broker
    _, listener = broker.mqtt_listener()
    try:
        docker(
            stack,
            *("exec", broker.container, "timeout", str(LOGIN_SECONDS), "mosquitto_sub"),
            *("-h", broker.address_in_container, "-p", str(listener.port)),
            *("-t", f"{SYSTEM}uptime", "-C", "1", "-W", str(LOGIN_SECONDS - 1)),
            *("-I", f"{CHECK}up-"),
        )
    except CommandError as error:
        return str(error)
    return ""


def read_status(stack: Stack) -> Status:
    """Ask Docker, and the broker itself if a user may read its statistics."""
    container = stack.settings.broker.container
    status = Status.parse(docker(stack, "container", "inspect", "--format", INSPECT, container))
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
