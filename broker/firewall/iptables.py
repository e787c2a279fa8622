"""The rules for iptables and ip6tables: chains of this stack in the mangle table."""

from __future__ import annotations

from collections.abc import Iterator

from broker.firewall.backend import networks_of, remote_ports, short_name
from broker.settings.broker_settings import Broker
from broker.settings.exposed_port import ExposedPort


def render_iptables(broker: Broker, version: int) -> str:
    """
    Return the text for ``iptables-restore --noflush`` (iptables-restore(8)), or ``ip6tables-``.

    Packets pass the mangle table before every filter rule, Docker's and ufw's included, and
    ``iptables -F`` and a restart of Docker do not change it: docs/explanation/decisions/0013.
    """
    short = short_name(broker.container)
    inside, through = f"MQTT-IN-{short}", f"MQTT-FW-{short}"
    lines = ["*mangle", f":{inside} - [0:0]", f":{through} - [0:0]", f"-A {inside} -i lo -j RETURN"]
    for listener in remote_ports(broker).values():
        if not listener.bound.is_unspecified and listener.bound.version != version:
            continue
        address = "" if listener.bound.is_unspecified else f"-d {listener.bind_address} "
        match = f"-A {inside} {address}-p tcp -m tcp --dport {listener.port}"
        lines += _allow_rules(match, listener, version)
    bridge, icmp = short, "icmp" if version == 4 else "ipv6-icmp"  # noqa: PLR2004 (an IP version)
    lines.append(f"-A {through} -i {bridge} -j RETURN")
    lines.append(f"-A {through} -m conntrack --ctdir REPLY -j RETURN")
    lines.append(f"-A {through} -p {icmp} -m conntrack --ctstate RELATED -j RETURN")
    for listener in remote_ports(broker).values():
        match = f"-A {through} -p tcp -m conntrack --ctorigdstport {listener.port}"
        lines += _allow_rules(match, listener, version)
    return "\n".join([*lines, f"-A {through} -j DROP", "COMMIT"]) + "\n"


def _allow_rules(match: str, listener: ExposedPort, version: int) -> Iterator[str]:
    if not listener.allow_from:
        yield f"{match} -j RETURN"
        return
    yield from (f"{match} -s {network} -j RETURN" for network in networks_of(listener, version))
    yield f"{match} -j DROP"
