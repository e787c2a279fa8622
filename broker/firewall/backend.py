"""Choose the firewall backend for a host, and check that the host supports it."""

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
"""Longest name of a network interface (IFNAMSIZ without the NUL, if_nametoindex(3))."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The backend for this host and its capabilities."""

    backend: Literal["nftables", "iptables", "ufw"]
    rules: Rules
    """What filters the packets, also with ufw: Docker's DNAT bypasses ufw's own rules."""
    ip_versions: tuple[int, ...] = (4, 6)
    systemd: bool = True


def short_name(container: str) -> str:
    """Return the name of the container's bridge: the container's, shortened with a digest."""
    if len(container) <= LONGEST_INTERFACE:
        return container
    return f"{container[:9].rstrip('._-')}-{sha256(container.encode()).hexdigest()[:5]}"


def is_declared(broker: Broker) -> bool:
    """Return whether the stack file declares a firewall: a backend and at least one allowFrom."""
    return broker.firewall.backend != "none" and any(
        listener.allow_from for listener in broker.exposed_ports.values()
    )


def choose(broker: Broker, facts: HostFacts) -> Choice:
    """
    Return the declared backend or, for ``auto``, the host's: an active ufw, nft, or iptables.

    Without facts (a preview elsewhere) the host is assumed to have nft and systemd.
    """
    tools, declared = facts.firewall, broker.firewall.backend
    rules: Rules = "nftables" if tools.has_nft else "iptables"
    versions = (4, 6) if tools.has_ip6tables else (4,)
    systemd = tools.systemd
    if declared == "ufw" or (declared == "auto" and tools.ufw == "active"):
        return Choice(backend="ufw", rules=rules, ip_versions=versions, systemd=systemd)
    if declared == "iptables":
        rules = "iptables"
    elif declared == "nftables":
        rules = "nftables"
    return Choice(backend=rules, rules=rules, ip_versions=versions, systemd=systemd)


def firewall_errors(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return an error for each reason why the rules cannot be applied on the host."""
    if not is_declared(broker) or not facts.looked_at:
        return []
    choice = choose(broker, facts)
    path, declared = f"{PROJECT}:broker.firewall.backend", repr(broker.firewall.backend)
    tools = facts.firewall
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
                f"{declared}: ufw is {tools.ufw} on the host",
                "Enable it, and allow ssh before (ufw allow OpenSSH && ufw enable), or set "
                "'nftables'.",
            )
        )
    if state == "absent":
        found.append(
            error(
                path,
                f"{declared}: the command {command} is not on the host",
                f"Install it (Debian, Ubuntu: apt-get install {package}), or choose another "
                "backend.",
            )
        )
    elif state not in USABLE:
        found.append(
            error(
                path,
                f"{declared}: {command} fails on the host: {state}. Rules need root with "
                "CAP_NET_ADMIN in the host's own network",
                "Log in as root, or as a user who may use sudo.",
            )
        )
    if choice.rules == "iptables" and choice.ip_versions == (4,):
        state = tools.ip6tables
        fix = (
            "Install ip6tables (Debian, Ubuntu: apt-get install iptables)"
            if state == "absent"
            else f"Repair ip6tables, which fails ({state})"
        )
        found += [
            error(
                f"{PROJECT}:broker.{broker.port_path(name)}",
                f"{setting}: iptables on this host supports only IPv4",
                f"{fix}, or set broker.firewall.backend to 'nftables'.",
            )
            for name, listener in broker.exposed_ports.items()
            if (setting := _ipv6_setting(listener, unspecified=True))
        ]
    if choice.backend == "ufw" and tools.ufw_for_ipv4_only:
        found += [
            error(
                f"{PROJECT}:broker.{broker.port_path(name)}",
                f"{setting}: ufw on the host supports only IPv4",
                "Set IPV6=yes in /etc/default/ufw and reload it (ufw reload), or set "
                "broker.firewall.backend to 'nftables'.",
            )
            for name, listener in broker.exposed_ports.items()
            if (setting := _ipv6_setting(listener, unspecified=False))
        ]
    if tools.bridge_name_taken:
        found.append(
            error(
                f"{PROJECT}:broker.container",
                f"{broker.container!r}: the host has a network interface "
                f"{short_name(broker.container)} that is not this broker's bridge, so the rules "
                "would filter other traffic",
                "Choose another name.",
            )
        )
    return found


def _ipv6_setting(listener: ExposedPort, *, unspecified: bool) -> str:
    """
    Return the setting that needs IPv6, for a message; empty if there is none.

    *unspecified* counts the address `::`, too, which is IPv6 even if all networks are IPv4.
    """
    for index, network in enumerate(listener.allow_from):
        if network.version == 6:  # noqa: PLR2004 (an IP version)
            return f"allowFrom[{index}] is {network}"
    bound = listener.bound
    ipv6 = bound.version == 6 and (unspecified or not bound.is_unspecified)  # noqa: PLR2004
    return "bindAddress is IPv6" if ipv6 else ""


def remote_ports(broker: Broker) -> dict[str, ExposedPort]:
    """Return the ports that other machines can reach, by listener."""
    return {name: port for name, port in broker.exposed_ports.items() if not port.bound.is_loopback}


def networks_of(listener: ExposedPort, version: int) -> list[IPv4Network | IPv6Network]:
    """Return the listed networks of one IP version, in order."""
    return sorted(network for network in listener.allow_from if network.version == version)
