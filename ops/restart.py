"""`make restart`: the same broker, started again, with all that it knew."""

from __future__ import annotations

from broker.delivery import Call
from broker.layout import READY_SECONDS, database_call, log_file_call, ready_call
from ops.command import finish
from ops.docker import running_image
from ops.host import run_scripts
from ops.stack import Refusal, Stack, arguments

COUNTING_SECONDS = 600
"""A large database is written and read on the way: host/database.sh bounds each step itself."""


def main() -> None:
    """Restart, and return once the broker lets its health user in and nobody else."""
    stack = Stack.read(arguments("Restart the broker.").parse_args().stack)
    broker = stack.settings.broker
    restart(stack, running_image(stack))
    print(
        f"container {broker.container}: started again; it lets its health user in, refuses who has "
        "no login, and has the messages that it kept. Every client was disconnected once."
    )


def restart(stack: Stack, image: str) -> None:
    """
    Run ``host/restart.sh``, whose end is that of ``host/ready.sh``.

    Raises:
        Refusal: the broker did not come back as it was.

    """
    way, broker = stack.transport, stack.settings.broker
    calls = [
        database_call(broker, way.socket, image),
        ready_call(broker),
        log_file_call(broker),
        Call(words=("restart", str(broker.stop_grace))),
    ]
    done = run_scripts(
        stack,
        ("database.sh", "restart.sh", "ready.sh"),
        calls,
        action="apply",
        become=broker.become,
        image=image,
        seconds=broker.stop_grace + 2 * READY_SECONDS + COUNTING_SECONDS,
    )
    if done.returncode:
        raise Refusal(
            f"host {way.host}: {done.stderr.strip()}\n"
            f"Its database is kept. What is wrong: make check STACK={stack.name}"
        )


if __name__ == "__main__":
    finish(main)
