"""Look at the host after a removal, for what is still there."""

from __future__ import annotations

from broker.checks.leftovers import Leftover, leftover_calls, parse_leftovers
from broker.host.scripts import HostScript
from cli.errors import CommandError
from cli.run_on_host import run_scripts
from cli.stack import Stack


def look_for_leftovers(stack: Stack, image: str) -> list[Leftover]:
    """
    Return what `pulumi destroy` should have removed from the host, and did not.

    Raises:
        CommandError: the host can't be asked, or does not answer every question.

    """
    unknown = "data and logs are kept, and what else is left on the host is unknown"
    try:
        result = run_scripts(
            stack,
            (HostScript.LEFTOVERS,),
            leftover_calls(stack.settings.broker, stack.name, stack.transport.socket, image),
            action="look",
            image=image,
            network_admin=True,
        )
    except CommandError as error:
        raise CommandError(f"pulumi destroy succeeded; {unknown}: {error}") from None
    found = parse_leftovers(result.stdout)
    if result.exit_code or found is None:
        raise CommandError(f"pulumi destroy succeeded; {unknown}: {result.stderr.strip()}")
    return found


def require_none(stack: Stack, found: list[Leftover]) -> None:
    """
    Return if nothing is left.

    Raises:
        CommandError: something is; the message names each thing and the command that removes it.

    """
    if found:
        raise CommandError(
            f"not everything was removed. Still on {stack.transport.host}:\n"
            + "\n".join(f"  {leftover.text}" for leftover in found)
        )
