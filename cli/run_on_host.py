"""Run a command, `docker` or host scripts on the stack's host, and report why that failed."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from broker.host.facts import HostFacts
from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import explain_ssh, explain_start, host_environment
from cli.errors import CommandError
from cli.stack import ROOT, Stack
from cli.terminal import waiting

SECONDS = 60
DOCKER_SECONDS = 30
SSH_FAILED = 255
"""ssh(1): the exit code of its own failures, as opposed to those of the command that it ran."""


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """How a command on the host ended; both texts are empty where they were shown instead."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""


def run_on_host(
    stack: Stack, line: str, *, stdin: str = "", seconds: float | None = SECONDS, show: bool = False
) -> HostResult:
    """
    Run the shell command *line* on the stack's host, with *stdin* as its input.

    *show*: stdout and stderr go to this process's own, without an input and without a time limit.

    Raises:
        CommandError: the host can't be reached, or the command did not end within *seconds*.

    """
    transport = stack.transport
    argv = [*transport.interpreter, line]
    environment = host_environment(os.environ)
    try:
        if show:
            ended = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, check=False
            ).returncode
            return HostResult(exit_code=ended)
        with waiting(f"host {transport.host}"):
            done = subprocess.run(
                argv,
                env=environment,
                input=stdin.encode(),
                capture_output=True,
                timeout=seconds,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"host {transport.host}: no answer within {seconds:g} seconds."
        ) from None
    except OSError as error:
        raise CommandError(explain_start(transport.host, argv[0], error)) from None
    # A log contains client ids of any bytes, cut in the middle of a character too. Text mode would
    # raise an error for those, and take a carriage return for the end of a line.
    stdout, stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    if done.returncode == SSH_FAILED and transport.remote:
        raise CommandError(explain_ssh(transport.host, stderr))
    return HostResult(exit_code=done.returncode, stdout=stdout, stderr=stderr)


def read_script(name: str) -> str:
    """Return the text of a script in ``host/``."""
    return (ROOT / "host" / name).read_text("utf-8")


def run_scripts(
    stack: Stack,
    scripts: Iterable[HostScript],
    calls: Iterable[ScriptCall],
    *,
    action: Literal["look", "apply"],
    as_root: bool = True,
    image: str = "",
    network_admin: bool = False,
    seconds: float = SECONDS,
) -> HostResult:
    """
    Run *scripts* of ``host/`` in one shell, then *calls*; only to ``look``, or to ``apply``.

    *image*: an image on the host, in whose container ``become: docker`` works. *network_admin*: the
    scripts read or change firewall rules.

    Raises:
        CommandError: the host can't be reached, or the command did not end within *seconds*.

    """
    script = assemble(scripts, read_script)
    become = stack.settings.broker.become if as_root else "nobody"
    line = stack.transport.script(action, become=become, image=image, network_admin=network_admin)
    return run_on_host(stack, line, stdin=render_stdin(script, calls), seconds=seconds)


def require_success(stack: Stack, result: HostResult) -> HostResult:
    """
    Return *result* if the command succeeded.

    Raises:
        CommandError: it failed; the message is what it printed on stderr.

    """
    if result.exit_code:
        raise CommandError(f"host {stack.transport.host}: {result.stderr.strip()}")
    return result


def probe(stack: Stack, scripts: Iterable[HostScript], calls: Iterable[ScriptCall]) -> HostFacts:
    """
    Return the facts that *scripts* print, as ``host/commands/probe.sh`` does; change nothing.

    Raises:
        CommandError: the host can't be reached, or the facts are incomplete.

    """
    result = run_scripts(stack, scripts, calls, action="look", as_root=False)
    facts = HostFacts.parse(result.stdout)
    if facts.complete:
        return facts
    raise CommandError(
        facts.explain_incomplete(stack.transport.host, result.exit_code, result.stderr)
    )


def docker(stack: Stack, *words: str, seconds: float = DOCKER_SECONDS) -> str:
    """
    Return what ``docker`` prints for *words*.

    Raises:
        CommandError: the host can't be reached, or Docker reports an error.

    """
    result = run_on_host(stack, _docker_line(stack, words), seconds=seconds)
    if result.exit_code:
        raise CommandError(
            f"host {stack.transport.host}: docker {_command(words)}: "
            f"{_explain(stack, result.stderr)}"
        )
    return result.stdout


def show_docker(stack: Stack, *words: str) -> None:
    """
    Run ``docker`` with *words*, showing its output, until it ends or is interrupted.

    Raises:
        CommandError: it failed; its message is on the screen.

    """
    if run_on_host(stack, _docker_line(stack, words), show=True).exit_code:
        raise CommandError(f"host {stack.transport.host}: docker {words[0]} failed; see above.")


def docker_log(stack: Stack, lines: int) -> list[str]:
    """
    Return the last *lines* of the container's log, stdout and stderr in the order of writing.

    Raises:
        CommandError: the host can't be reached, or Docker reports an error.

    """
    words = ("logs", "--tail", str(lines), stack.settings.broker.container)
    # The login shell may be one without `2>&1`, such as csh.
    line = shlex.join(
        ("sh", "-c", 'exec "$@" 2>&1', "sh", "docker", "-H", stack.transport.socket, *words)
    )
    result = run_on_host(stack, line)
    if result.exit_code:
        message = _explain(stack, result.stdout + result.stderr)
        raise CommandError(f"host {stack.transport.host}: docker logs: {message}")
    # Not splitlines: a client id may contain what Python takes for the end of a line.
    return result.stdout.removesuffix("\n").split("\n") if result.stdout else []


def running_image(stack: Stack) -> str:
    """
    Return the id of the image of the stack's container, whatever image is declared by now.

    Raises:
        CommandError: there is no container, or Docker can't be asked.

    """
    container = stack.settings.broker.container
    return docker(stack, "container", "inspect", "--format", "{{.Image}}", container).strip()


def image_for_root(stack: Stack) -> str:
    """
    Return the image that ``become: docker`` works in; empty for any other ``become``.

    Raises:
        CommandError: there is no container, or Docker can't be asked.

    """
    return running_image(stack) if stack.settings.broker.become == "docker" else ""


def _command(words: Sequence[str]) -> str:
    """Return the command of docker: ``container inspect``, or ``exec``."""
    return " ".join(words[:2] if words[0] in ("container", "image", "network") else words[:1])


def _docker_line(stack: Stack, words: tuple[str, ...]) -> str:
    return shlex.join(("docker", "-H", stack.transport.socket, *words))


def _explain(stack: Stack, stderr: str) -> str:
    container = stack.settings.broker.container
    if "no such" in stderr.lower():
        return f"there is no container {container}. Run: ./brokerctl up --stack {stack.name}"
    return stderr.strip()
