"""Who may reach the listeners, as rules of nftables, iptables and ufw: texts, and no commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal

from broker.host.facts import HostFacts
from broker.host.layout import UNITS, folder_of
from broker.host.script_calls import ScriptCall
from broker.settings.broker_settings import Broker
from broker.settings.exposed_port import ExposedPort

Rules = Literal["nftables", "iptables"]

LONGEST_INTERFACE = 15
"""Characters of a network interface's name (IFNAMSIZ, if_nametoindex(3)), without its end."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the rules are made with on this host."""

    backend: Literal["nftables", "iptables", "ufw"]
    rules: Rules
    """What packets obey. ufw's own rules never see a published port: Docker's DNAT comes first."""
    ip_versions: tuple[int, ...] = (4, 6)
    systemd: bool = True


def short_name(container: str) -> str:
    """Return a name for the container's bridge: its own, or the beginning of it and a digest."""
    if len(container) <= LONGEST_INTERFACE:
        return container
    return f"{container[:9].rstrip('._-')}-{sha256(container.encode()).hexdigest()[:5]}"


def is_declared(broker: Broker) -> bool:
    """Return whether there is anything to enforce; where nobody is named, nothing is touched."""
    return broker.firewall.backend != "none" and any(
        each.allow_from for each in broker.gates.values()
    )


def choose(broker: Broker, seen: HostFacts) -> Choice:
    """
    Return what the stack file asks for or, for ``auto``, what the host has, ufw's rules first.

    A host that nobody looked at (a preview elsewhere) is taken to have nft and systemd.
    """
    nft = seen.get("firewall", "nft") in ("", "ok")
    rules: Rules = "nftables" if nft else "iptables"
    versions = (4, 6) if seen.get("firewall", "ip6tables") in ("", "ok") else (4,)
    systemd = seen.get("firewall", "systemd") != "no"
    wanted = broker.firewall.backend
    if wanted == "ufw" or (wanted == "auto" and seen.get("firewall", "ufw") == "active"):
        return Choice(backend="ufw", rules=rules, ip_versions=versions, systemd=systemd)
    if wanted == "iptables":
        rules = "iptables"
    elif wanted == "nftables":
        rules = "nftables"
    return Choice(backend=rules, rules=rules, ip_versions=versions, systemd=systemd)


def problems(broker: Broker, seen: HostFacts) -> list[str]:
    """Return one sentence for each reason why the rules could not be put in force on the host."""
    if not is_declared(broker) or not seen.facts:
        return []
    choice = choose(broker, seen)
    path = f"broker.firewall.backend: {broker.firewall.backend!r}"
    commands = {"nftables": ("nft", "nftables"), "iptables": ("iptables", "iptables")}
    command, package = commands[choice.rules]
    state = seen.get("firewall", command)
    found: list[str] = []
    if choice.backend == "ufw" and (ufw := seen.get("firewall", "ufw")) not in (
        "",
        "active",
    ):
        found.append(
            f"{path}: ufw is {ufw} on the host. Switch it on, ssh first (ufw allow OpenSSH && "
            "ufw enable), or set 'nftables'."
        )
    if state == "absent":
        found.append(
            f"{path}: the command {command} is not on the host. Install it (Debian, Ubuntu: "
            f"apt-get install {package}), or choose another backend."
        )
    elif state not in ("", "ok"):
        found.append(
            f"{path}: {command} is refused on the host: {state}. Rules need root with "
            "CAP_NET_ADMIN in the host's own network: log in as root, or as one who may sudo."
        )
    if choice.rules == "iptables" and choice.ip_versions == (4,):
        said = seen.get("firewall", "ip6tables")
        mend = (
            "Install ip6tables (Debian, Ubuntu: apt-get install iptables)"
            if said == "absent"
            else f"ip6tables is refused ({said}). Mend that"
        )
        found += [
            f"broker.{broker.path_of(name)}: {why}: iptables on this host is for IPv4 only. "
            f"{mend}, or set broker.firewall.backend to 'nftables'."
            for name, each in broker.gates.items()
            if (why := _sixth(each, unspecified=True))
        ]
    if choice.backend == "ufw" and seen.get("firewall", "ufw-ipv6") == "no":
        found += [
            f"broker.{broker.path_of(name)}: {why}: ufw on the host is for IPv4 only. Say IPV6=yes "
            "in /etc/default/ufw and reload it (ufw reload), or set broker.firewall.backend to "
            "'nftables'."
            for name, each in broker.gates.items()
            if (why := _sixth(each, unspecified=False))
        ]
    if seen.get("firewall", "interface") == "taken":
        found.append(
            f"broker.container: {broker.container!r}: the host has a network interface "
            f"{short_name(broker.container)} that is not this broker's bridge, and the rules would "
            "be for whatever goes there. Choose another name."
        )
    return found


def _sixth(listener: ExposedPort, *, unspecified: bool) -> str:
    """Return what of it is for IPv6; *unspecified*: `::` is, also with IPv4 networks alone."""
    for index, each in enumerate(listener.allow_from):
        if each.version == 6:  # noqa: PLR2004 (an IP version)
            return f"allowFrom[{index}] is {each}"
    bound = listener.bound
    sixth = bound.version == 6 and (unspecified or not bound.is_unspecified)  # noqa: PLR2004
    return "bindAddress is IPv6" if sixth else ""


def gates(broker: Broker) -> dict[str, ExposedPort]:
    """Return what anybody but the host itself could reach."""
    return {name: each for name, each in broker.gates.items() if not each.bound.is_loopback}


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
        if networks := _of(listener, version):
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
    yield from (f"{match} -s {each} -j RETURN" for each in _of(listener, version))
    yield f"{match} -j DROP"


def _of(listener: ExposedPort, version: int) -> list[IPv4Network | IPv6Network]:
    return sorted(each for each in listener.allow_from if each.version == version)


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


def render_load(broker: Broker, choice: Choice) -> str:
    """Return the script that puts the rules in force, at an ``up`` and at the host's start."""
    folder, short = folder_of(broker), short_name(broker.container)
    lines = [
        "#!/bin/sh",
        f"# Puts the rules for {broker.container} in force.",
        "set -eu",
        # Where a `pulumi up` has not come to its end (host/commands/firewall.sh).
        'rules() { if [ -e "$1.left" ]; then echo "$1.left"; else echo "$1"; fi; }',
    ]
    if choice.rules == "nftables":
        return "\n".join([*lines, f'nft -f "$(rules {folder}/rules.nft)"']) + "\n"
    jumps = [f"INPUT -j MQTT-IN-{short}", f"FORWARD -o {short} -j MQTT-FW-{short}"]
    for version in choice.ip_versions:
        command = "iptables" if version == 4 else "ip6tables"  # noqa: PLR2004 (an IP version)
        lines.append(f'{command}-restore -w --noflush <"$(rules {folder}/rules.v{version})"')
        lines += [
            f"{command} -w -t mangle -C {each} 2>/dev/null || {command} -w -t mangle -I {each}"
            for each in jumps
        ]
    return "\n".join(lines) + "\n"


def unit_of(broker: Broker) -> str:
    return f"sentient-mqtt-firewall-{broker.container}.service"


def render_unit(broker: Broker) -> str:
    """
    Return the systemd unit that loads the rules before Docker starts a container.

    It follows what flushes all rules of the host when it starts, stops or reloads: after a restart
    of nftables.service ours are loaded anew.
    """
    return f"""\
# Written by Pulumi from the stack file: the next `pulumi up` overwrites edits.
[Unit]
Description=Who may reach the MQTT broker {broker.container}
After=nftables.service netfilter-persistent.service ufw.service
Before=docker.service
PartOf=nftables.service netfilter-persistent.service
ReloadPropagatedFrom=nftables.service netfilter-persistent.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {folder_of(broker)}/load
ExecReload=/bin/sh {folder_of(broker)}/load

[Install]
WantedBy=multi-user.target docker.service
"""


def rules_texts(broker: Broker, choice: Choice) -> dict[str, str]:
    """Return the rules by the name of their file."""
    if choice.rules == "nftables":
        return {"rules.nft": render_nftables(broker)}
    return {f"rules.v{each}": render_iptables(broker, each) for each in choice.ip_versions}


def firewall_calls(broker: Broker, choice: Choice, turn: str) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/firewall.sh``, with ``host/lib/put_files.sh`` and
    ``host/lib/firewall_rules.sh``.
    """
    folder = folder_of(broker)
    root = ("0", "0")
    calls = [ScriptCall(words=("firewall", *subject(broker, choice), unit_of(broker), turn))]
    calls += [
        ScriptCall(words=("put", f"{folder}/{name}", "0644", *root), text=text)
        for name, text in rules_texts(broker, choice).items()
    ]
    calls += [
        ScriptCall(
            words=("put", f"{folder}/load", "0755", *root), text=render_load(broker, choice)
        ),
        ScriptCall(
            words=("unit", f"{UNITS}/{unit_of(broker)}", "0644", *root), text=render_unit(broker)
        ),
    ]
    return [*calls, *_ufw_calls(broker, choice)]


def digest(broker: Broker, choice: Choice) -> str:
    """Return what is another one when any of the files is."""
    texts = [each.text for each in firewall_calls(broker, choice, "")]
    return sha256("".join(each or "" for each in texts).encode()).hexdigest()[:16]


def left_calls(broker: Broker, choice: Choice, turn: str) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/close_former_ports.sh``, which follows the three of
    ``firewall_calls``.
    """
    words = ("firewall", *subject(broker, choice), unit_of(broker), turn)
    return [ScriptCall(words=words), *_ufw_calls(broker, choice)]


def _ufw_calls(broker: Broker, choice: Choice) -> list[ScriptCall]:
    if choice.backend != "ufw":
        return []
    return [ScriptCall(words=("ufw_rule", *each.split())) for each in ufw_rules(broker)]


def subject(broker: Broker, choice: Choice) -> tuple[str, ...]:
    """Return what ``host/lib/firewall_rules.sh`` needs to find our rules, and no one else's."""
    return (choice.backend, choice.rules, broker.container, short_name(broker.container))


def describe_firewall(broker: Broker, choice: Choice | None) -> dict[str, Any]:
    """Return the output ``firewall``: who may reach which port, and what sees to it."""
    listeners = {
        name: {
            "port": each.port,
            "bindAddress": each.bind_address,
            "allowFrom": [str(network) for network in each.allow_from] or ["anybody"],
        }
        for name, each in broker.gates.items()
    }
    if choice is None:
        return {"backend": "none", "listeners": listeners}
    boot = unit_of(broker) if choice.systemd else missing_at_boot(broker)
    return {
        "backend": choice.backend,
        "enforcedBy": choice.rules,
        "boot": boot,
        "listeners": listeners,
    }


def missing_at_boot(broker: Broker) -> str:
    return (
        f"nothing loads the rules when the host starts (no systemd): have {folder_of(broker)}/load "
        "run before Docker is started"
    )


def show(broker: Broker, choice: Choice) -> dict[str, str]:
    """Return the rules as a preview shows them, line by line."""
    shown = rules_texts(broker, choice)
    if choice.backend == "ufw":
        shown["ufw"] = "".join(f"ufw {each}\n" for each in ufw_rules(broker))
    return shown
