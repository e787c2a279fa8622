"""Rules for ufw. They document the firewall in `ufw status`; packets pass other rules."""

from __future__ import annotations

from broker.firewall.backend import remote_ports
from broker.settings.broker_settings import Broker


def ufw_rules(broker: Broker) -> list[str]:
    """Return the arguments of ``ufw`` for each rule, as `ufw show added` prints them."""
    rules: dict[str, None] = {}
    for listener in remote_ports(broker).values():
        address = "any" if listener.bound.is_unspecified else listener.bind_address
        to = f"{address} port {listener.port} proto tcp"
        for network in listener.allow_from:
            source = str(network.network_address) if network.num_addresses == 1 else str(network)
            if network.prefixlen:
                rules[f"allow from {source} to {to}"] = None
        open_to_all = any(not network.prefixlen for network in listener.allow_from)
        if open_to_all or not listener.allow_from:
            anybody = f"{listener.port}/tcp" if address == "any" else f"to {to}"
            rules[f"allow {anybody}"] = None
    return list(rules)
