"""Everything on the host that differs from what the last deployment of a stack applied."""

from __future__ import annotations

from broker.firewall import drift as firewall
from broker.host.drift import drift_lines
from broker.host.facts import HostFacts
from broker.host.requirements import HostRequirements, host_errors
from broker.settings.broker_settings import Broker
from broker.tls import certificates


def drift(broker: Broker, required: HostRequirements, facts: HostFacts) -> list[str]:
    """Return a line per difference; none if the host is as the last deployment left it."""
    found = [error.text for error in host_errors(required, facts, broker.host)]
    found += drift_lines(facts, broker.container)
    _, problem = firewall.report(broker, facts)
    if problem:
        found.append(problem)
    found += [
        f"The certificate of listener {name} is due: {reason}"
        for name, reason in certificates.due(broker, facts).items()
    ]
    return found
