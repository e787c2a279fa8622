"""
Take over what an interrupted run left behind, immediately before Pulumi creates the same.

Docker's names are unique. A container or network that the state does not know, because the run
that created it was killed before the state was written, would make every further `up` fail.
A hook is exact: Pulumi calls it only when it has decided to create the resource, after it has
deleted the one that its state knows.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterable

from pulumi import ResourceHook, ResourceHookArgs, ResourceHookBinding

from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import Transport, host_environment
from components.host_command import read_script


class NotFreedError(Exception):
    """The script on the host failed; the message is its own."""


def before_create(
    name: str,
    *,
    transport: Transport,
    become: str,
    image: str,
    script: HostScript,
    calls: Iterable[ScriptCall],
) -> ResourceHookBinding:
    """Return the hook that runs *script* with *calls* before resource *name* is created."""
    stdin = render_stdin(assemble((script,), read_script), calls)

    def run() -> None:
        done = subprocess.run(
            [*transport.interpreter, transport.script("apply", become=become, image=image)],
            input=stdin.encode(),
            env=host_environment(os.environ),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise NotFreedError(message or f"exit {done.returncode}")

    async def free_the_name(_: ResourceHookArgs) -> None:
        # Other resources must not wait for the host.
        await asyncio.to_thread(run)

    return ResourceHookBinding(before_create=[ResourceHook(f"{name}-orphan", free_the_name)])
