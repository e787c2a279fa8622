"""Probe the host before anything changes on it, also in previews."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pulumi

from broker.host.facts import HostFacts
from broker.host.ownership import StateRecord
from broker.host.requirements import HostRequirements, probe_calls
from broker.host.script_calls import assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import Transport, explain_ssh, explain_start, host_environment
from components.host_command import read_script
from components.last_deployment import read_last_deployment, read_state

SECONDS = 60

DIVERTING = (
    *("DOCKER_CONTEXT", "DOCKER_CERT_PATH"),
    *("DOCKER_CA_MATERIAL", "DOCKER_CERT_MATERIAL", "DOCKER_KEY_MATERIAL"),
)
"""Variables with which the Docker provider would dial another daemon, or dial this one with TLS."""

# For previews on a machine that cannot reach the host, such as a CI runner.
SKIP = "SENTIENT_MQTT_PREFLIGHT"


def probe_host_and_state(
    transport: Transport, requirements: HostRequirements
) -> tuple[HostFacts, StateRecord]:
    """
    Return the facts of the host, and what the state says about its brokers.

    Both are read at the same time: a state with 100 users takes half a second.

    Raises:
        pulumi.RunError: one of them can't be read; nothing has been changed.

    """
    if _skipped():
        return probe_host(transport, requirements), read_state(required=False)
    _refuse_diversions(transport)
    with ThreadPoolExecutor(1) as pool:
        # The probe calls nothing of Pulumi, which is for the main thread.
        probing = pool.submit(run_probe, transport, requirements)
        state = read_state()
        return probing.result(), state


def _skipped() -> bool:
    return os.environ.get(SKIP) == "skip" and pulumi.runtime.is_dry_run()


def probe_host(transport: Transport, requirements: HostRequirements) -> HostFacts:
    """
    Return the facts of the host, or those of the last deployment if SKIP is set in a preview.

    Raises:
        pulumi.RunError: the probe failed; nothing has been changed.

    """
    _refuse_diversions(transport)
    if _skipped():
        pulumi.log.warn(
            f"{SKIP}=skip: {transport.host} was not probed before this preview. The preview "
            "assumes the state of the last deployment."
        )
        return read_last_deployment(requirements)
    return run_probe(transport, requirements)


def _refuse_diversions(transport: Transport) -> None:
    for name in DIVERTING:
        if value := os.environ.get(name):
            # The others may be keys.
            shown = f" to {value!r}" if name in ("DOCKER_CONTEXT", "DOCKER_CERT_PATH") else ""
            raise pulumi.RunError(
                f"{name} is set{shown}. The Docker provider would use it instead of "
                f"{transport.host}: unset it (unset {name})."
            )


def run_probe(transport: Transport, requirements: HostRequirements) -> HostFacts:
    """Run ``host/commands/probe.sh`` on the host and return its facts."""
    line = transport.script("look", become="nobody")
    try:
        done = subprocess.run(
            [*transport.interpreter, line],
            input=render_stdin(
                assemble((HostScript.PROBE,), read_script),
                probe_calls(requirements, transport, read_script),
            ).encode(),
            env=host_environment(os.environ),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise pulumi.RunError(
            f"host {transport.host}: no answer within {SECONDS} seconds. Check its load, and "
            "whether a firewall blocks the connection."
        ) from None
    except OSError as wrong:
        program = transport.interpreter[0]
        raise pulumi.RunError(explain_start(transport.host, program, wrong)) from None
    # Not text mode: file names and messages of the host may have any encoding, and a carriage
    # return in one of them is not the end of a line.
    stdout, stderr = (output.decode(errors="replace") for output in (done.stdout, done.stderr))
    facts = HostFacts.parse(stdout)
    if facts.complete:
        return facts
    if transport.remote and done.returncode == 255:  # noqa: PLR2004 (ssh's own failures, ssh(1))
        raise pulumi.RunError(explain_ssh(transport.host, stderr))
    raise pulumi.RunError(facts.explain_incomplete(transport.host, done.returncode, stderr))
