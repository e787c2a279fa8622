"""Something run on the stack's host: what came of it, or why the host could not be asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence

from broker.host.facts import HostFacts
from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import explain_ssh, explain_start, host_environment
from cli.refusals import Refusal
from cli.stack import ROOT, Stack
from cli.terminal import waiting

SECONDS = 60
SSH_FAILED = 255
"""ssh(1): its own failures, not those of what it ran."""


def environment() -> dict[str, str]:
    """Return the environment of every command that runs on a host."""
    return host_environment(os.environ)


def run(
    stack: Stack, argv: Sequence[str], *, text: str = "", seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """
    Run *argv*, which the stack's transport made, with *text* on its stdin.

    Raises:
        Refusal: the host can't be reached, or was not done within *seconds*.

    """
    way = stack.transport
    try:
        with waiting(f"host {way.host}"):
            ran = subprocess.run(
                argv,
                env=environment(),
                input=text.encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise Refusal(f"host {way.host}: no answer within {seconds:g} seconds.") from None
    except OSError as wrong:
        raise Refusal(explain_start(way.host, argv[0], wrong)) from None
    # A log holds what clients chose, cut in the middle of a character too. Text mode would fail at
    # that, and take a carriage return for the end of a line.
    said, complained = (each.decode(errors="replace") for each in (ran.stdout, ran.stderr))
    done = subprocess.CompletedProcess(ran.args, ran.returncode, said, complained)
    if done.returncode == SSH_FAILED and way.remote:
        raise Refusal(explain_ssh(way.host, done.stderr))
    return done


def run_scripts(
    stack: Stack,
    names: Iterable[HostScript],
    calls: Iterable[ScriptCall],
    *,
    action: str,
    become: str,
    image: str = "",
    seconds: float = SECONDS,
) -> subprocess.CompletedProcess[str]:
    """
    Run scripts of ``host/``, one after the other in one shell, then *calls*.

    Raises:
        Refusal: the host can't be reached, or was not done within *seconds*.

    """
    way = stack.transport
    script = assemble(names, lambda name: (ROOT / "host" / name).read_text("utf-8"))
    argv = [*way.interpreter, way.script(action, become=become, image=image)]
    return run(stack, argv, text=render_stdin(script, calls), seconds=seconds)


def probe(stack: Stack, names: Iterable[HostScript], calls: Iterable[ScriptCall]) -> HostFacts:
    """
    Return what scripts that end in the manner of ``host/commands/probe.sh`` say.

    Nothing is changed there.

    Raises:
        Refusal: the host can't be asked.

    """
    done = run_scripts(stack, names, calls, action="look", become="nobody")
    seen = HostFacts.parse(done.stdout)
    if seen.complete:
        return seen
    way = stack.transport
    if way.remote:
        raise Refusal(explain_ssh(way.host, done.stderr))
    raise Refusal(f"host {way.host}: a look at it failed: {done.stderr.strip()}")
