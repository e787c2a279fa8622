"""The same broker, started again, with all that it knew."""

from __future__ import annotations

from broker.host.layout import READY_SECONDS, database_call, log_file_call, ready_call
from broker.host.script_functions import Restart
from broker.host.scripts import HostScript
from cli.refusals import Refusal
from cli.run_on_host import run_scripts
from cli.stack import Stack

COUNTING_SECONDS = 600
"""A large database is written and read on the way: host/lib/database.sh bounds each step itself."""


def restart(stack: Stack, image: str) -> None:
    """
    Run ``host/commands/restart.sh``, whose end is that of ``host/commands/await_ready.sh``.

    Raises:
        Refusal: the broker did not come back as it was.

    """
    way, broker = stack.transport, stack.settings.broker
    calls = [
        database_call(broker, way.socket, image),
        ready_call(broker),
        log_file_call(broker),
        Restart.restart(seconds=broker.stop_grace),
    ]
    done = run_scripts(
        stack,
        (HostScript.RESTART, HostScript.AWAIT_READY),
        calls,
        action="apply",
        become=broker.become,
        image=image,
        seconds=broker.stop_grace + 2 * READY_SECONDS + COUNTING_SECONDS,
    )
    if done.returncode:
        raise Refusal(
            f"host {way.host}: {done.stderr.strip()}\n"
            f"Its database is kept. What is wrong: ./brokerctl check --stack {stack.name}"
        )
