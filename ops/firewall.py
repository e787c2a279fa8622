"""`make firewall`: who may reach which port, and whether the rules that say so are in force."""

from __future__ import annotations

import subprocess

from broker.delivery import deliver
from broker.firewall import is_declared, report
from broker.host import Seen, explain_ssh
from broker.wanted import firewall_probe_calls, wanted_of_host
from ops.command import finish
from ops.stack import ROOT, Refusal, Stack, arguments

SECONDS = 60


def main() -> None:
    """Print it, and fail if a rule is missing."""
    stack = Stack.read(arguments("Say who may reach the broker.").parse_args().stack)
    seen = look(stack) if is_declared(stack.settings.broker) else Seen(facts={})
    lines, problem = report(stack.settings.broker, seen)
    for each in lines:
        print(each)
    if problem:
        raise Refusal(problem)


def look(stack: Stack) -> Seen:
    """
    Return what the host says of the rules; nothing is changed there.

    Raises:
        Refusal: it can't be asked.

    """
    way = stack.transport
    wanted = wanted_of_host(stack.settings, stack.name)
    scripts = [(ROOT / "host" / each).read_text("utf-8") for each in ("rules.sh", "probe.sh")]
    try:
        done = subprocess.run(
            [*way.interpreter, way.script("look", become="nobody")],
            input=deliver("".join(scripts), firewall_probe_calls(wanted, way)),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as wrong:
        raise Refusal(f"host {way.host}: {wrong}") from None
    seen = Seen.parse(done.stdout)
    if seen.get("probe") == "done":
        return seen
    if way.remote:
        raise Refusal(explain_ssh(way.host, done.stderr))
    raise Refusal(f"host {way.host}: a look at it failed: {done.stderr.strip()}")


if __name__ == "__main__":
    finish(main)
