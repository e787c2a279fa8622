"""The broker's log on its host, read: who came, and who was turned away."""

from __future__ import annotations

from datetime import datetime

from broker.host.probe_functions import ReadLog
from broker.host.scripts import HostScript
from broker.logs.log_parser import EVER, LogSummary
from cli.docker import ask, running_image
from cli.refusals import Refusal
from cli.run_on_host import run_scripts
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
        Refusal: the host or its log can't be read.

    """
    broker = stack.settings.broker
    path = f"{broker.folders.log}/{broker.logging.file}"
    image = image or _image(stack)
    done = run_scripts(
        stack,
        (HostScript.READ_LOG,),
        [
            ReadLog.sightings(
                path, minutes=minutes, size=size, socket=stack.transport.socket, image=image
            )
        ],
        action="look",
        become=broker.become,
        image=image,
        seconds=SECONDS,
    )
    # Not splitlines: a client id may hold what Python takes for a line's end, and Mosquitto not.
    lines = done.stdout.removesuffix("\n").split("\n")
    if done.returncode or lines[-1:] != ["end"]:
        raise Refusal(f"host {stack.transport.host}: its log: {done.stderr.strip()}")
    # A check is refused twice on each listener, and seldom made more often than each minute.
    own = 2 * 60 * len(broker.listeners)
    return LogSummary(since=since, own=own).read(lines)


def _image(stack: Stack) -> str:
    """Return the image of the container, or the declared one where there is no container."""
    try:
        return running_image(stack)
    except Refusal:
        return stack.settings.broker.image


def gateways(stack: Stack) -> list[str]:
    """Return the addresses by which the broker's own host comes to it, through Docker."""
    template = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPv6Gateway}} {{end}}"
    return ask(stack, "inspect", "--format", template, stack.settings.broker.container).split()
