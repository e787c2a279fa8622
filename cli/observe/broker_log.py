"""Read the broker's log on its host: logins, refused logins and denied messages."""

from __future__ import annotations

from datetime import datetime

from broker.host.probe_functions import ReadLog
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
    Return a summary of the log, counted from *since*.

    *minutes*: reads only files written to in the last *minutes*; *size*: only the last *size* bytes
    of a file; 0 reads all. *image*: an image on the host to read the log in; by default the
    container's.

    Raises:
        CommandError: the host can't be reached, or the log can't be read.

    """
    broker = stack.settings.broker
    path = f"{broker.folders.log}/{broker.logging.file}"
    image = image or _image(stack)
    result = run_scripts(
        stack,
        (HostScript.READ_LOG,),
        [
            ReadLog.sightings(
                path, minutes=minutes, size=size, socket=stack.transport.socket, image=image
            )
        ],
        action="look",
        image=image,
        seconds=SECONDS,
    )
    # Not splitlines: a client id may contain what Python takes for the end of a line.
    lines = result.stdout.removesuffix("\n").split("\n")
    if result.exit_code or lines[-1:] != ["end"]:
        raise CommandError(f"host {stack.transport.host}: its log: {result.stderr.strip()}")
    # A check has two refused logins per listener, and runs at most once a minute.
    own = 2 * 60 * len(broker.listeners)
    return LogSummary(since=since, own=own, whole=size == 0).read(lines)


def _image(stack: Stack) -> str:
    """Return the image of the container, or the declared image if there is no container."""
    try:
        return running_image(stack)
    except CommandError:
        return stack.settings.broker.image


def network_created(stack: Stack) -> datetime:
    """Return when the container's own network was created; without one, the earliest time."""
    words = ("network", "inspect", "--format", "{{json .Created}}")
    try:
        answer = docker(stack, *words, stack.settings.broker.container)
        return datetime.fromisoformat(answer.strip().strip('"'))
    except (CommandError, ValueError):
        return EVER


def gateways(stack: Stack) -> list[str]:
    """Return the addresses by which the host itself reaches the broker, through Docker."""
    template = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPv6Gateway}} {{end}}"
    return docker(
        stack, "container", "inspect", "--format", template, stack.settings.broker.container
    ).split()
