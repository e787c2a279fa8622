"""The host has been looked at before anything is changed on it, in previews too."""

import os
import subprocess

import pulumi

from broker.host.facts import HostFacts
from broker.host.requirements import HostRequirements, probe_calls
from broker.host.script_calls import assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import Transport, explain_ssh, explain_start, host_environment
from components.host_command import read_script
from components.last_deployment import read_last_deployment

SECONDS = 60

# For a preview on a machine that can't reach the host, such as a pull request's.
SKIP = "SENTIENT_MQTT_PREFLIGHT"


def probe_host(transport: Transport, wanted: HostRequirements) -> HostFacts:
    """
    Return what is seen on the host.

    Raises:
        pulumi.RunError: the host can't be asked; nothing has been changed.

    """
    if os.environ.get("DOCKER_CONTEXT"):
        raise pulumi.RunError(
            f"DOCKER_CONTEXT is set to {os.environ['DOCKER_CONTEXT']!r}. The Docker provider would "
            f"go there and not to {transport.host}: unset it (unset DOCKER_CONTEXT)."
        )
    if os.environ.get(SKIP) == "skip" and pulumi.runtime.is_dry_run():
        pulumi.log.warn(
            f"{SKIP}=skip: {transport.host} was not looked at before this preview. It is taken to "
            "be as the last deployment left it."
        )
        return read_last_deployment(wanted)
    return ask(transport, wanted)


def ask(transport: Transport, wanted: HostRequirements) -> HostFacts:
    """Run ``host/commands/probe.sh`` on the host and return its answer."""
    line = transport.script("look", become="nobody")
    try:
        done = subprocess.run(
            [*transport.interpreter, line],
            input=render_stdin(
                assemble((HostScript.PROBE,), read_script),
                probe_calls(wanted, transport),
            ).encode(),
            env=host_environment(os.environ),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise pulumi.RunError(
            f"host {transport.host}: no answer within {SECONDS} seconds. Is it overloaded, or is "
            "a firewall in between?"
        ) from None
    except OSError as wrong:
        program = transport.interpreter[0]
        raise pulumi.RunError(explain_start(transport.host, program, wrong)) from None
    # File names and messages of the host are in it, in whatever encoding. Text mode would fail at
    # them, and take a carriage return in one for the end of a line.
    answer, complaint = (said.decode(errors="replace") for said in (done.stdout, done.stderr))
    seen = HostFacts.parse(answer)
    if seen.complete:
        return seen
    if transport.remote and done.returncode == 255:  # noqa: PLR2004 (ssh's own failures, ssh(1))
        raise pulumi.RunError(explain_ssh(transport.host, complaint))
    raise pulumi.RunError(
        f"host {transport.host}: a look at it failed (exit {done.returncode}): "
        f"{complaint.strip() or 'no message'}"
    )
