"""A command on the host: idempotent, without output, its input on a secret stdin."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi_command import local

from broker.host.script_calls import Record, ScriptCall, assemble, render_stdin
from broker.host.scripts import HostScript
from broker.host.transport import WITHHELD, Transport, clean_interpreter

SCRIPTS = Path(__file__).parent.parent / "host"


def read_script(name: str) -> str:
    """Return the text of a script in ``host/``."""
    return (SCRIPTS / name).read_text(encoding="utf-8")


def withheld() -> dict[str, str]:
    """Return an empty value for each variable with a secret of the provider."""
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
    record: Record | None = None,
    opts: ResourceOptions,
) -> local.Command:
    """
    Run *script* with *calls* on the host on every change of either, and to remove the resource.

    *shown* is plain text that a preview displays line by line; no script reads it. The script's
    environment is that of ``clean_interpreter``. *record*: what the host remembers of it, by which
    the next preview detects drift.
    There are no triggers: a trigger replaces the resource, and the old ``delete`` would then undo
    the new ``create``.
    """
    text = assemble((script,), read_script)
    lines = Output.from_input(image).apply(
        lambda name: [
            transport.script(action, become=become, image=name, network_admin=network_admin)
            for action in ("apply", "remove")
        ]
    )
    return local.Command(
        name,
        create=lines.apply(lambda commands: commands[0]),
        delete=lines.apply(lambda commands: commands[1]),
        interpreter=list(clean_interpreter(transport.interpreter)),
        stdin=Output.secret(calls).apply(
            lambda known_calls: render_stdin(text, known_calls, record)
        ),
        environment={
            **withheld(),
            **(shown or {}),
            **({"revision": record.revision} if record else {}),
        },
        # The output of a script may quote its input, which contains secrets.
        logging=local.Logging.NONE,
        add_previous_output_in_env=False,
        opts=ResourceOptions.merge(
            opts, ResourceOptions(additional_secret_outputs=["stdout", "stderr"])
        ),
    )


def show(text: str, limit: int = 60_000) -> str:
    """
    Return *text* if it fits into an environment variable, else its length.

    Linux limits a variable to 128 KiB (MAX_ARG_STRLEN, execve(2)).
    """
    if len(text.encode()) <= limit:
        return text
    pulumi.log.info(f"{len(text):,} characters are too long for the preview; see output 'access'.")
    return f"{len(text):,} characters, {len(text.splitlines()):,} lines"
