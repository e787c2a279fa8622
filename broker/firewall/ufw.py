"""The rules as ufw shows them: what people look for, beside the rules that packets obey."""

from __future__ import annotations

from broker.firewall.backend import gates
from broker.settings.broker_settings import Broker


def ufw_rules(broker: Broker) -> list[str]:
    """Return what comes after ``ufw``, as `ufw show added` prints it: the rules people look for."""
    rules: dict[str, None] = {}
    for listener in gates(broker).values():
        address = "any" if listener.bound.is_unspecified else listener.bind_address
        to = f"{address} port {listener.port} proto tcp"
        for each in listener.allow_from:
            source = str(each.network_address) if each.num_addresses == 1 else str(each)
            if each.prefixlen:
                rules[f"allow from {source} to {to}"] = None
        if not all(each.prefixlen for each in listener.allow_from) or not listener.allow_from:
            anybody = f"{listener.port}/tcp" if address == "any" else f"to {to}"
            rules[f"allow {anybody}"] = None
    return list(rules)
