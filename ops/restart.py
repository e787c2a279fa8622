"""`make restart`: the same broker, started again, with all that it knew."""

from __future__ import annotations

import subprocess

from broker.delivery import Call, deliver
from broker.host import explain_ssh
from broker.layout import READY_SECONDS, database_call, ready_call
from ops.command import finish
from ops.docker import SSH_FAILED, ask
from ops.pulumi import Pulumi
from ops.stack import ROOT, Refusal, Stack, arguments

COUNTING_SECONDS = 600
"""A large database is written and read on the way: host/database.sh bounds each step itself."""


def main() -> None:
    """Restart, and return once the broker lets its health user in and nobody else."""
    stack = Stack.read(arguments("Restart the broker.").parse_args().stack)
    broker = stack.settings.broker
    ask(stack, "inspect", "--format", "{{.Id}}", broker.container)
    restart(stack, str(Pulumi.ready(stack).outputs().get("image", broker.image)))
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
    names = ("database.sh", "restart.sh", "ready.sh")
    script = "".join((ROOT / "host" / each).read_text("utf-8") for each in names)
    calls = [
        database_call(broker, way.socket, image),
        ready_call(broker),
        Call(words=("restart", str(broker.stop_grace))),
    ]
    seconds = broker.stop_grace + 2 * READY_SECONDS + COUNTING_SECONDS
    try:
        done = subprocess.run(
            [*way.interpreter, way.script("apply", become=broker.become, image=image)],
            input=deliver(script, calls),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as wrong:
        raise Refusal(f"host {way.host}: {wrong}") from None
    if done.returncode == SSH_FAILED and way.remote:
        raise Refusal(explain_ssh(way.host, done.stderr))
    if done.returncode:
        raise Refusal(
            f"host {way.host}: {done.stderr.strip()}\n"
            f"Its database is kept. What is wrong: make check STACK={stack.name}"
        )


if __name__ == "__main__":
    finish(main)
