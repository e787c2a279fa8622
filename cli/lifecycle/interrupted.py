"""
Clear what a killed run left in a stack's state: its lock, and creations that it did not finish.

A backend that is a folder locks a stack with a file that names the process and its machine.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.pulumi_backend import state_folder
from broker.settings.stack_settings import PROJECT
from cli.deployment_state import has_pending_operations
from cli.errors import NotPerformedError
from cli.pulumi import Pulumi
from cli.stack import Stack
from cli.terminal import confirm

PROGRAM = "pulumi"
"""The name of the process that holds a lock, in proc(5)."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The content of a lock file."""

    pid: int
    machine: str
    user: str
    since: str

    @property
    def held(self) -> bool:
        """Whether its process is alive, or may be: nobody can ask another machine."""
        return self.machine != socket.gethostname() or _is_pulumi(self.pid)

    def __str__(self) -> str:
        return f"process {self.pid} of {self.user} on {self.machine}, since {self.since}"


def release_stale_lock(stack: Stack, pulumi: Pulumi, *, sure: bool) -> None:
    """
    Run `pulumi cancel` if a killed run left its lock; ask first, unless *sure*.

    A lock whose process may be alive stays: Pulumi reports it.

    Raises:
        NotPerformedError: the lock stays, because nobody confirmed.

    """
    locks = read_locks(stack, pulumi.environ)
    if not locks or any(lock.held for lock in locks):
        return
    for lock in locks:
        print(f"The state is locked by a run that has ended: {lock}.")
    unasked = sure or pulumi.backend.local_passphrase
    if not unasked and not (sys.stdin.isatty() and confirm("Release the lock (pulumi cancel)?")):
        raise NotPerformedError(
            f"nothing was changed: the lock stays. Add --cancel-stale, or release it: "
            f'eval "$(./brokerctl env --stack {stack.name})"; pulumi cancel --stack {stack.name}'
        )
    pulumi.ask("cancel", "--yes", "--stack", stack.name)


def forget_unfinished_creations(pulumi: Pulumi) -> None:
    """
    Remove creations from the state that a killed run did not finish.

    Pulumi would warn about them in every further run. Nothing needs them: scripts are idempotent,
    and what Docker did create is taken over (components/creation_hooks.py).
    """
    if not has_pending_operations(pulumi.stack, pulumi.environ):
        return
    state = json.loads(pulumi.ask("stack", "export", "--stack", pulumi.stack.name))
    deployment = state.get("deployment") or {}
    pending = deployment.get("pending_operations") or []
    deployment["pending_operations"] = [
        operation for operation in pending if operation["type"] != "creating"
    ]
    if len(deployment["pending_operations"]) == len(pending):
        return
    pulumi.ask("stack", "import", "--stack", pulumi.stack.name, stdin=json.dumps(state))


def read_locks(stack: Stack, environ: Mapping[str, str]) -> list[Lock]:
    """Return the locks on the state, if that is in a folder on this machine."""
    folder = state_folder(stack.name, environ)
    if folder is None:
        return []
    root = folder / ".pulumi" / "locks" / "organization"
    # Old backends have no folder per project.
    parents = (root / PROJECT / stack.name, root / stack.name)
    files = (file for parent in parents for file in parent.glob("*.json"))
    return [_read(file) for file in files]


def _read(file: Path) -> Lock:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Lock(
            pid=int(content["pid"]),
            machine=str(content["hostname"]),
            user=str(content["username"]),
            since=str(content["timestamp"])[:19],
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Killed while it wrote the file, or another format. Pulumi reports it.
        return Lock(pid=0, machine="an unknown machine", user="an unknown user", since="?")


def _is_pulumi(pid: int) -> bool:
    """Return whether process *pid* is alive; a number that another program has now is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == PROGRAM
    except OSError:
        # Without proc(5), or it has just ended: Pulumi will tell.
        return True
