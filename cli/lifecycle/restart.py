"""Restart the broker's container with its database."""

from __future__ import annotations

from broker.host.layout import READY_SECONDS, database_call, log_file_call, ready_call
from broker.host.script_functions import Restart
from broker.host.scripts import HostScript
from cli.errors import CommandError
from cli.lifecycle.status import login_error
from cli.run_on_host import docker, run_scripts
from cli.stack import Stack

COUNTING_SECONDS = 600
"""For writing and reading a large database; host/lib/database.sh limits each step."""


def restart(stack: Stack, image: str) -> str:
    """
    Run ``host/commands/restart.sh``, then ``host/commands/await_ready.sh``, and log in.

    Return the time of the start, as Docker reports it.

    Raises:
        CommandError: the broker does not answer, or lost retained messages.

    """
    broker = stack.settings.broker
    before = _start(stack)
    calls = [
        database_call(broker, stack.transport.socket, image),
        ready_call(broker),
        log_file_call(broker),
        Restart.restart(seconds=broker.stop_grace),
    ]
    result = run_scripts(
        stack,
        (HostScript.RESTART, HostScript.AWAIT_READY),
        calls,
        action="apply",
        image=image,
        seconds=broker.stop_grace + 2 * READY_SECONDS + COUNTING_SECONDS,
    )
    if result.exit_code:
        raise CommandError(
            f"host {stack.transport.host}: {result.stderr.strip()}\n"
            f"Its database is kept. To find the cause: ./brokerctl check --stack {stack.name}"
        )
    return _require_new_start(stack, before)


def _start(stack: Stack) -> str:
    """Return state and time of the last start of the container, as Docker reports them."""
    words = ("container", "inspect", "--format", "{{.State.Status}} {{.State.StartedAt}}")
    return docker(stack, *words, stack.settings.broker.container).strip()


def _require_new_start(stack: Stack, before: str) -> str:
    """
    Return the time of the start after *before*, once the health user has logged in.

    Raises:
        CommandError: the container was not started again, does not run, or accepts no login.

    """
    state, _, started = _start(stack).partition(" ")
    container = f"container {stack.settings.broker.container}"
    cause = f"To find the cause: ./brokerctl check --stack {stack.name}"
    if state != "running":
        raise CommandError(f"{container}: was restarted, and is {state} now. {cause}")
    if started == before.partition(" ")[2]:
        raise CommandError(f"{container}: was not restarted; it runs since {started}. {cause}")
    if error := login_error(stack):
        raise CommandError(
            f"{container}: was restarted, and does not accept its health user: {error}\n{cause}"
        )
    return started
