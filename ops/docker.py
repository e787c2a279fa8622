"""The Docker client of the stack's host, run there: what it says, or why it could not."""

from __future__ import annotations

import subprocess

from broker.host import explain_ssh
from ops.stack import Refusal, Stack

SECONDS = 30
SSH_FAILED = 255
"""ssh(1): its own failures, not those of what it ran."""


def ask(stack: Stack, *words: str, seconds: int = SECONDS) -> str:
    """
    Return what ``docker`` prints for *words*.

    Raises:
        Refusal: the host can't be reached, or Docker refuses.

    """
    way = stack.transport
    try:
        done = subprocess.run(
            _argv(stack, words),
            stdin=subprocess.DEVNULL,
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
        raise Refusal(f"host {way.host}: docker {words[0]}: {_explain(stack, done.stderr)}")
    return done.stdout


def show(stack: Stack, *words: str) -> None:
    """
    Run ``docker`` with *words* in front of the person, until it ends or they end it.

    Raises:
        Refusal: it failed; what it said is on the screen.

    """
    code = subprocess.run(_argv(stack, words), stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise Refusal(f"host {stack.transport.host}: docker {words[0]} failed; see above.")


def _argv(stack: Stack, words: tuple[str, ...]) -> list[str]:
    way = stack.transport
    return way.argv(("docker", "-H", way.socket, *words))


def _explain(stack: Stack, stderr: str) -> str:
    container = stack.settings.broker.container
    if "no such" in stderr.lower():
        return f"there is no container {container}. Run: make up STACK={stack.name}"
    return stderr.strip()
