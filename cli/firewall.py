"""`make firewall`: who may reach which port, and whether the rules that say so are in force."""

from __future__ import annotations

from broker.firewall.backend import is_declared
from broker.firewall.drift import report
from broker.host.facts import HostFacts
from broker.host.requirements import firewall_probe_calls, host_requirements
from cli.exit_codes import finish
from cli.run_on_host import probe
from cli.stack import Refusal, Stack, arguments


def main() -> None:
    """Print it, and fail if a rule is missing."""
    stack = Stack.read(arguments("Say who may reach the broker.").parse_args().stack)
    seen = look(stack) if is_declared(stack.settings.broker) else HostFacts(facts={})
    lines, problem = report(stack.settings.broker, seen)
    for each in lines:
        print(each)
    if problem:
        raise Refusal(problem)


def look(stack: Stack) -> HostFacts:
    """Return what the host says of the rules; nothing is changed there."""
    wanted = host_requirements(stack.settings, stack.name)
    calls = firewall_probe_calls(wanted, stack.transport)
    return probe(stack, ("lib/firewall_rules.sh", "commands/probe.sh"), calls)


if __name__ == "__main__":
    finish(main)
