"""The rules as nftables takes them: a table of our own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from broker.firewall.backend import gates, networks_of, short_name
from broker.settings.broker_settings import Broker
from broker.settings.exposed_port import ExposedPort


def render_nftables(broker: Broker) -> str:
    """
    Return the text for ``nft -f`` (nft(8)): one transaction that replaces our table, or makes it.

    The table hooks before the filter tables of anybody else; a drop in it is final, an accept is
    only ours: whoever else filters still may refuse.
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
    for gate, listener in gates(broker).items():
        lines += _nft_chain(f"listener-{gate}", _nft_gate(listener))
    lines += _nft_chain("input", _nft_input(broker))
    lines += _nft_chain("forward", _nft_forward(broker))
    return "\n".join([*lines, "}"]) + "\n"


def _nft_chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"\tchain {name} {{"
    yield from (f"\t\t{each}" for each in rules)
    yield "\t}"


def _nft_gate(listener: ExposedPort) -> Iterator[str]:
    if not listener.allow_from:
        yield 'accept comment "no allowFrom: anybody"'
        return
    for word, version in (("ip", 4), ("ip6", 6)):
        if networks := networks_of(listener, version):
            yield f"{word} saddr {{ {', '.join(map(str, networks))} }} accept"
    yield "counter drop"


def _nft_input(broker: Broker) -> Iterator[str]:
    yield "type filter hook input priority filter - 10; policy accept;"
    # Docker's userland proxy, and a broker on the host's own network. The host itself may.
    yield 'iifname "lo" accept'
    for name, listener in gates(broker).items():
        yield f"{_nft_address(listener)}tcp dport {listener.port} goto listener-{name}"


def _nft_address(listener: ExposedPort) -> str:
    # Another address's port is somebody else's.
    if listener.bound.is_unspecified:
        return ""
    return f"{'ip' if listener.bound.version == 4 else 'ip6'} daddr {listener.bind_address} "  # noqa: PLR2004


def _nft_forward(broker: Broker) -> Iterator[str]:
    # On the host's own network there is no such bridge, but there is that of a container that is
    # about to move there.
    bridge = short_name(broker.container)
    yield "type filter hook forward priority filter - 10; policy accept;"
    yield f'oifname != "{bridge}" accept'
    yield f'iifname "{bridge}" accept'
    # Answers to what the broker itself began. Not "established": a client whose network was taken
    # off the list must not go on because it was there before.
    yield "ct direction reply accept"
    # What a router on the way says of a connection: a packet was too long for it.
    yield "meta l4proto { icmp, icmpv6 } ct state related accept"
    for name, listener in gates(broker).items():
        # The port before DNAT. `meta l4proto` is what lets nft read a port in an inet table.
        yield f"meta l4proto tcp ct original proto-dst {listener.port} goto listener-{name}"
    yield "counter drop"
