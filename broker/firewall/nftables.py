"""The rules for nftables: one table per stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.firewall.backend import networks_of, remote_ports, short_name
from broker.settings.broker_settings import Broker
from broker.settings.exposed_port import ExposedPort


def render_nftables(broker: Broker) -> str:
    """
    Return the text for ``nft -f`` (nft(8)): one transaction that creates or replaces the table.

    The table hooks in before the other filter tables. A drop in it is final; after an accept the
    other tables can still drop the packet.
    """
    name = f"sentient-mqtt-{broker.container}"
    lines = [
        f"# Who may reach {broker.container}. Written by Pulumi from the stack file: the next "
        "`pulumi up`",
        "# overwrites edits.",
        f"table inet {name}",
        f"delete table inet {name}",
        f"table inet {name} {{",
    ]
    for listener_name, listener in remote_ports(broker).items():
        lines += _nft_chain(f"listener-{listener_name}", _allow_rules(listener))
    lines += _nft_chain("input", _nft_input(broker))
    lines += _nft_chain("forward", _nft_forward(broker))
    return "\n".join([*lines, "}"]) + "\n"


def _nft_chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield from (f"\t\t{rule}" for rule in rules)
    yield "\t}"


def _allow_rules(listener: ExposedPort) -> Iterator[str]:
    if not listener.allow_from:
        yield 'accept comment "no allowFrom: anybody"'
        return
    for word, version in (("ip", 4), ("ip6", 6)):
        if networks := networks_of(listener, version):
            yield f"{word} saddr {{ {', '.join(map(str, networks))} }} accept"
    yield "counter drop"


def _nft_input(broker: Broker) -> Iterator[str]:
    yield "type filter hook input priority filter - 10; policy accept;"
    # For Docker's userland proxy and for a broker on the host's network. The host may connect.
    yield 'iifname "lo" accept'
    for name, listener in remote_ports(broker).items():
        yield f"{_nft_address(listener)}tcp dport {listener.port} goto listener-{name}"


def _nft_address(listener: ExposedPort) -> str:
    # The same port on another address belongs to another program.
    if listener.bound.is_unspecified:
        return ""
    return f"{'ip' if listener.bound.version == 4 else 'ip6'} daddr {listener.bind_address} "  # noqa: PLR2004


def _nft_forward(broker: Broker) -> Iterator[str]:
    # A broker on the host's network has no bridge; this covers the container that is about to move
    # there.
    bridge = short_name(broker.container)
    yield "type filter hook forward priority filter - 10; policy accept;"
    yield f'oifname != "{bridge}" accept'
    yield f'iifname "{bridge}" accept'
    # Replies to connections that the broker opened. Not "established": a client whose network was
    # removed from the list must not keep its connection.
    yield "ct direction reply accept"
    # ICMP errors from routers, such as "packet too big".
    yield "meta l4proto { icmp, icmpv6 } ct state related accept"
    for name, listener in remote_ports(broker).items():
        # The port before DNAT. nft needs `meta l4proto` to match a port in an inet table.
        yield f"meta l4proto tcp ct original proto-dst {listener.port} goto listener-{name}"
    yield "counter drop"
