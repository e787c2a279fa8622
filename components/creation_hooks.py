"""
What runs on the host immediately before Pulumi creates a container or network, and if that fails.

Docker's names are unique. A container or network that the state does not know, because the run
that created it was killed before the state was written, would make every further `up` fail.
A hook is exact: Pulumi calls it only when it has decided to create the resource, after it has
deleted the one that its state knows.
"""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterable

import pulumi
from pulumi import ErrorHook, ErrorHookArgs, ResourceHook, ResourceHookArgs, ResourceHookBinding
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import monitor_supports_feature

from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import Transport, host_environment
from components.host_command import read_script

NO_FORMER = 3
"""The exit code of ``host/commands/bring_back.sh`` if there is no former container."""


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
    on_error: Iterable[ErrorHook] = (),
) -> ResourceHookBinding:
    """Return the hook that runs *script* with *calls* before resource *name* is created."""
    run = _runner(transport, become=become, image=image, script=script, calls=calls)

    async def free_the_name(_: ResourceHookArgs) -> None:
        # Other resources must not wait for the host.
        done = await asyncio.to_thread(run)
        if done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise NotFreedError(message or f"exit {done.returncode}")

    return ResourceHookBinding(
        before_create=[ResourceHook(f"{name}-orphan", free_the_name)], on_error=list(on_error)
    )


def bring_back(
    name: str,
    *,
    container: str,
    transport: Transport,
    become: str,
    image: str,
    calls: Iterable[ScriptCall],
) -> list[ErrorHook]:
    """Return the hook that starts the former *container* if the new one can't be created."""
    if not monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS):
        # An older engine.
        return []
    run = _runner(transport, become=become, image=image, script=HostScript.BRING_BACK, calls=calls)

    async def start_former(args: ErrorHookArgs) -> bool:
        if args.failed_operation == "create":
            done = await asyncio.to_thread(run)
            if not done.returncode:
                pulumi.log.warn(
                    f"Docker did not start the new container {container}: the former one runs "
                    "again. The next `pulumi up` tries again."
                )
            elif done.returncode != NO_FORMER:
                pulumi.log.warn(f"The former container {container} could not be started.")
        return False

    return [ErrorHook(f"{name}-bring-back", start_former)]


def _runner(
    transport: Transport,
    *,
    become: str,
    image: str,
    script: HostScript,
    calls: Iterable[ScriptCall],
) -> Callable[[], subprocess.CompletedProcess[bytes]]:
    stdin = render_stdin(assemble((script,), read_script), calls)

    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*transport.interpreter, transport.script("apply", become=become, image=image)],
            input=stdin.encode(),
            env=host_environment(os.environ),
            capture_output=True,
            check=False,
        )

    return run
