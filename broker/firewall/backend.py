"""What the firewall's rules are made with on a host, and whether the host can."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from broker.findings import PROJECT, Finding, error
from broker.host.facts import USABLE, HostFacts
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
        each.allow_from for each in broker.exposed_ports.values()
    )


def choose(broker: Broker, seen: HostFacts) -> Choice:
    """
    Return what the stack file asks for or, for ``auto``, what the host has, ufw's rules first.

    A host that nobody looked at (a preview elsewhere) is taken to have nft and systemd.
    """
    tools, wanted = seen.firewall, broker.firewall.backend
    rules: Rules = "nftables" if tools.has_nft else "iptables"
    versions = (4, 6) if tools.has_ip6tables else (4,)
    systemd = tools.systemd
    if wanted == "ufw" or (wanted == "auto" and tools.ufw == "active"):
        return Choice(backend="ufw", rules=rules, ip_versions=versions, systemd=systemd)
    if wanted == "iptables":
        rules = "iptables"
    elif wanted == "nftables":
        rules = "nftables"
    return Choice(backend=rules, rules=rules, ip_versions=versions, systemd=systemd)


def firewall_errors(broker: Broker, seen: HostFacts) -> list[Finding]:
    """Return an error for each reason why the rules could not be put in force on the host."""
    if not is_declared(broker) or not seen.looked_at:
        return []
    choice = choose(broker, seen)
    path, asked = f"{PROJECT}:broker.firewall.backend", repr(broker.firewall.backend)
    tools = seen.firewall
    commands = {
        "nftables": ("nft", "nftables", tools.nft),
        "iptables": ("iptables", "iptables", tools.iptables),
    }
    command, package, state = commands[choice.rules]
    found: list[Finding] = []
    if choice.backend == "ufw" and tools.ufw not in ("", "active"):
        found.append(
            error(
                path,
                f"{asked}: ufw is {tools.ufw} on the host",
                "Switch it on, ssh first (ufw allow OpenSSH && ufw enable), or set 'nftables'.",
            )
        )
    if state == "absent":
        found.append(
            error(
                path,
                f"{asked}: the command {command} is not on the host",
                f"Install it (Debian, Ubuntu: apt-get install {package}), or choose another "
                "backend.",
            )
        )
    elif state not in USABLE:
        found.append(
            error(
                path,
                f"{asked}: {command} is refused on the host: {state}. Rules need root with "
                "CAP_NET_ADMIN in the host's own network",
                "Log in as root, or as one who may sudo.",
            )
        )
    if choice.rules == "iptables" and choice.ip_versions == (4,):
        said = tools.ip6tables
        mend = (
            "Install ip6tables (Debian, Ubuntu: apt-get install iptables)"
            if said == "absent"
            else f"ip6tables is refused ({said}). Mend that"
        )
        found += [
            error(
                f"{PROJECT}:broker.{broker.port_path(name)}",
                f"{why}: iptables on this host is for IPv4 only",
                f"{mend}, or set broker.firewall.backend to 'nftables'.",
            )
            for name, each in broker.exposed_ports.items()
            if (why := _sixth(each, unspecified=True))
        ]
    if choice.backend == "ufw" and tools.ufw_for_ipv4_only:
        found += [
            error(
                f"{PROJECT}:broker.{broker.port_path(name)}",
                f"{why}: ufw on the host is for IPv4 only",
                "Say IPV6=yes in /etc/default/ufw and reload it (ufw reload), or set "
                "broker.firewall.backend to 'nftables'.",
            )
            for name, each in broker.exposed_ports.items()
            if (why := _sixth(each, unspecified=False))
        ]
    if tools.bridge_name_taken:
        found.append(
            error(
                f"{PROJECT}:broker.container",
                f"{broker.container!r}: the host has a network interface "
                f"{short_name(broker.container)} that is not this broker's bridge, and the rules "
                "would be for whatever goes there",
                "Choose another name.",
            )
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
    return {name: each for name, each in broker.exposed_ports.items() if not each.bound.is_loopback}


def networks_of(listener: ExposedPort, version: int) -> list[IPv4Network | IPv6Network]:
    """Return the listed networks of one IP version, in order."""
    return sorted(each for each in listener.allow_from if each.version == version)
