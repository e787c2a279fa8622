"""The broker's log on its host, read: who came, and who was turned away."""

from __future__ import annotations

from datetime import datetime

from broker.host.script_calls import ScriptCall
from broker.host.scripts import HostScript
from broker.logs.log_parser import EVER, LogSummary
from cli.errors import CommandError
from cli.run_on_host import docker, run_scripts, running_image
from cli.stack import Stack

SECONDS = 60


def read_log(
    stack: Stack, *, since: datetime = EVER, minutes: int = 0, size: int = 0, image: str = ""
) -> LogSummary:
    """
    Return what the log says, counted from *since*.

    *minutes*: of files written to in so many alone; *size*: of each its last bytes; 0 is all.
    *image* is one on the host, which the log is read in; asked for where it is not given.

    Raises:
        CommandError: the host or its log can't be read.

    """
    broker = stack.settings.broker
    path = f"{broker.folders.log}/{broker.logging.file}"
    image = image or _image(stack)
    result = run_scripts(
        stack,
        (HostScript.READ_LOG,),
        [
            ScriptCall(
                words=("sightings", path, str(minutes), str(size), stack.transport.socket, image)
            )
        ],
        action="look",
        image=image,
        seconds=SECONDS,
    )
    # Not splitlines: a client id may hold what Python takes for a line's end, and Mosquitto not.
    lines = result.stdout.removesuffix("\n").split("\n")
    if result.exit_code or lines[-1:] != ["end"]:
        raise CommandError(f"host {stack.transport.host}: its log: {result.stderr.strip()}")
    # A check is refused twice on each listener, and seldom made more often than each minute.
    own = 2 * 60 * len(broker.listeners)
    return LogSummary(since=since, own=own).read(lines)


def _image(stack: Stack) -> str:
    """Return the image of the container, or the declared one where there is no container."""
    try:
        return running_image(stack)
    except CommandError:
        return stack.settings.broker.image


def gateways(stack: Stack) -> list[str]:
    """Return the addresses by which the broker's own host comes to it, through Docker."""
    template = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPv6Gateway}} {{end}}"
    return docker(stack, "inspect", "--format", template, stack.settings.broker.container).split()
