"""The Docker client of the stack's host, run there: what it says, or why it could not."""

from __future__ import annotations

import subprocess

from broker.host.transport import explain_start
from cli.refusals import Refusal
from cli.run_on_host import environment, run
from cli.stack import Stack

SECONDS = 30


def ask(stack: Stack, *words: str, seconds: int = SECONDS) -> str:
    """
    Return what ``docker`` prints for *words*.

    Raises:
        Refusal: the host can't be reached, or Docker refuses.

    """
    done = run(stack, _argv(stack, words), seconds=seconds)
    if done.returncode:
        raise Refusal(
            f"host {stack.transport.host}: docker {words[0]}: {_explain(stack, done.stderr)}"
        )
    return done.stdout


def show(stack: Stack, *words: str) -> None:
    """
    Run ``docker`` with *words* in front of the person, until it ends or they end it.

    Raises:
        Refusal: it failed; what it said is on the screen.

    """
    argv = _argv(stack, words)
    try:
        code = subprocess.run(
            argv, env=environment(), stdin=subprocess.DEVNULL, check=False
        ).returncode
    except OSError as wrong:
        raise Refusal(explain_start(stack.transport.host, argv[0], wrong)) from None
    if code:
        raise Refusal(f"host {stack.transport.host}: docker {words[0]} failed; see above.")


def running_image(stack: Stack) -> str:
    """
    Return the image of the stack's container, by its id: whatever is declared by now, it is there.

    Raises:
        Refusal: there is no container, or Docker can't be asked.

    """
    container = stack.settings.broker.container
    return ask(stack, "inspect", "--format", "{{.Image}}", container).strip()


def image_for_root(stack: Stack) -> str:
    """
    Return the image whose container is the way to root; empty where there is another way.

    Raises:
        Refusal: there is no container, or Docker can't be asked.

    """
    return running_image(stack) if stack.settings.broker.become == "docker" else ""


def _argv(stack: Stack, words: tuple[str, ...]) -> list[str]:
    way = stack.transport
    return way.argv(("docker", "-H", way.socket, *words))


def _explain(stack: Stack, stderr: str) -> str:
    container = stack.settings.broker.container
    if "no such" in stderr.lower():
        return f"there is no container {container}. Run: ./brokerctl up --stack {stack.name}"
    return stderr.strip()
