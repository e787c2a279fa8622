"""The one shape of a command on the host: idempotent, silent, its content on a secret stdin."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi_command import local

from broker.host.script_calls import ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import WITHHELD, Transport, clean_interpreter

SCRIPTS = Path(__file__).parent.parent / "host"


def read_script(name: str) -> str:
    """Return the text of a script in ``host/``."""
    return (SCRIPTS / name).read_text(encoding="utf-8")


def withheld() -> dict[str, str]:
    """Return empty variables that take the place of the provider's secrets."""
    return dict.fromkeys(WITHHELD, "")


def host_command(
    name: str,
    *,
    transport: Transport,
    become: str,
    image: Input[str],
    script: HostScript,
    calls: Input[Iterable[ScriptCall]],
    shown: Mapping[str, Input[str]] | None = None,
    network_admin: bool = False,
    opts: ResourceOptions,
) -> local.Command:
    """
    Run *script* with *calls* on the host at each change of either, and once more to remove.

    *shown* is plain text that a preview displays line by line; no script reads it. The script's
    environment is that of ``clean_interpreter``.
    There are no triggers: they would replace, and the old ``delete`` would undo the new
    ``create``.
    """
    text = assemble((script,), read_script)
    lines = Output.from_input(image).apply(
        lambda it: [
            transport.script(each, become=become, image=it, network_admin=network_admin)
            for each in ("apply", "remove")
        ]
    )
    return local.Command(
        name,
        create=lines.apply(lambda pair: pair[0]),
        delete=lines.apply(lambda pair: pair[1]),
        interpreter=list(clean_interpreter(transport.interpreter)),
        stdin=Output.secret(calls).apply(lambda given: render_stdin(text, given)),
        environment={**withheld(), **(shown or {})},
        # What a script prints is for an error message; it could quote what it was given.
        logging=local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=ResourceOptions.merge(
            opts, ResourceOptions(additional_secret_outputs=["stdout", "stderr"])
        ),
    )


def show(text: str, limit: int = 60_000) -> str:
    """
    Return *text* if an environment variable can carry it, else what stands for it.

    Linux takes 128 KiB in one variable (MAX_ARG_STRLEN, execve(2)).
    """
    if len(text.encode()) <= limit:
        return text
    pulumi.log.info(f"{len(text):,} characters are too long for the preview; see output 'access'.")
    return f"{len(text):,} characters, {len(text.splitlines()):,} lines"
