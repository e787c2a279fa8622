"""Restart the broker's container with its database."""

from __future__ import annotations

from broker.host.layout import READY_SECONDS, database_call, log_file_call, ready_call
from broker.host.script_functions import Restart
from broker.host.scripts import HostScript
from cli.errors import CommandError
from cli.run_on_host import run_scripts
from cli.stack import Stack

COUNTING_SECONDS = 600
"""For writing and reading a large database; host/lib/database.sh limits each step."""


def restart(stack: Stack, image: str) -> None:
    """
    Run ``host/commands/restart.sh``, then ``host/commands/await_ready.sh``.

    Raises:
        CommandError: the broker does not answer, or lost retained messages.

    """
    broker = stack.settings.broker
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
