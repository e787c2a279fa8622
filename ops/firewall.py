"""`make firewall`: who may reach which port, and whether the rules that say so are in force."""

from __future__ import annotations

from broker.firewall import is_declared
from broker.host import Seen
from broker.standing import report
from broker.wanted import firewall_probe_calls, wanted_of_host
from ops.command import finish
from ops.host import probe
from ops.stack import Refusal, Stack, arguments


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
    """Return what the host says of the rules; nothing is changed there."""
    wanted = wanted_of_host(stack.settings, stack.name)
    calls = firewall_probe_calls(wanted, stack.transport)
    return probe(stack, ("rules.sh", "probe.sh"), calls)


if __name__ == "__main__":
    finish(main)
