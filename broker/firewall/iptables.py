"""The rules as iptables and ip6tables take them: chains of our own in the mangle table."""

from __future__ import annotations

from collections.abc import Iterator

from broker.firewall.backend import gates, networks_of, short_name
from broker.settings.broker_settings import Broker
from broker.settings.exposed_port import ExposedPort


def render_iptables(broker: Broker, version: int) -> str:
    """
    Return the text for ``iptables-restore --noflush`` (iptables-restore(8)), or ``ip6tables-``.

    In the mangle table, which packets pass before Docker's, ufw's and anybody's filter rules, and
    which ``iptables -F`` and a restart of Docker leave alone: docs/explanation/decisions/0013.
    """
    short = short_name(broker.container)
    inside, through = f"MQTT-IN-{short}", f"MQTT-FW-{short}"
    lines = ["*mangle", f":{inside} - [0:0]", f":{through} - [0:0]", f"-A {inside} -i lo -j RETURN"]
    for listener in gates(broker).values():
        if not listener.bound.is_unspecified and listener.bound.version != version:
            continue
        address = "" if listener.bound.is_unspecified else f"-d {listener.bind_address} "
        match = f"-A {inside} {address}-p tcp -m tcp --dport {listener.port}"
        lines += _iptables_gate(match, listener, version)
    bridge, icmp = short, "icmp" if version == 4 else "ipv6-icmp"  # noqa: PLR2004 (an IP version)
    lines.append(f"-A {through} -i {bridge} -j RETURN")
    lines.append(f"-A {through} -m conntrack --ctdir REPLY -j RETURN")
    lines.append(f"-A {through} -p {icmp} -m conntrack --ctstate RELATED -j RETURN")
    for listener in gates(broker).values():
        match = f"-A {through} -p tcp -m conntrack --ctorigdstport {listener.port}"
        lines += _iptables_gate(match, listener, version)
    return "\n".join([*lines, f"-A {through} -j DROP", "COMMIT"]) + "\n"


def _iptables_gate(match: str, listener: ExposedPort, version: int) -> Iterator[str]:
    if not listener.allow_from:
        yield f"{match} -j RETURN"
        return
    yield from (f"{match} -s {each} -j RETURN" for each in networks_of(listener, version))
    yield f"{match} -j DROP"
