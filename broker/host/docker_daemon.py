"""
What the Docker daemon of the host can't fulfil.

Docker accepts these settings and leaves them out without an error. The container then differs from
what is declared, and every `up` would change or replace it again.
"""

from __future__ import annotations

from collections.abc import Iterator

from broker.findings import PROJECT, Finding, error, warning
from broker.host.facts import HostFacts
from broker.settings.broker_settings import Broker

DAEMON_JSON = "/etc/docker/daemon.json"


def daemon_errors(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return an error for each setting that the daemon of the host can't fulfil."""
    return [*_other_ids(broker, facts), *_no_memory_limit(broker, facts), *_no_ipv6(broker, facts)]


def daemon_warnings(broker: Broker, facts: HostFacts) -> list[Finding]:
    """Return a warning for each limit that the host enforces only in part."""
    if not facts.daemon.limits_swap:
        return [
            warning(
                f"{PROJECT}:broker.limits.memory",
                f"{broker.limits.memory}: this host limits the memory of a container, and not its "
                "swap, so a broker beyond the limit slows the host down instead of ending",
                "Add swapaccount=1 to the kernel's command line on that host and restart it.",
            )
        ]
    return []


def _other_ids(broker: Broker, facts: HostFacts) -> Iterator[Finding]:
    """The files belong to the broker's uid, which would be another one in the container."""
    owner = broker.owner.uid
    if facts.daemon.remaps_users:
        yield error(
            f"host {broker.host}",
            "Docker gives the users of containers other ids on this host (userns-remap), so a "
            f"broker with uid {owner} could read none of its files",
            f"Remove userns-remap from {DAEMON_JSON} and restart Docker, or choose another host.",
        )
    if facts.daemon.rootless:
        yield error(
            f"host {broker.host}",
            "Docker runs without root there (rootless mode): it gives the users of containers "
            f"other ids, so a broker with uid {owner} could read none of its files",
            "Set broker.host to a Docker daemon that runs as root.",
        )


def _no_memory_limit(broker: Broker, facts: HostFacts) -> Iterator[Finding]:
    if not facts.daemon.limits_memory:
        yield error(
            f"{PROJECT}:broker.limits.memory",
            f"{broker.limits.memory}: the kernel of this host can't limit the memory of a "
            "container (docker info: MemoryLimit false), so Docker leaves the limit out, and "
            "every `up` would set it again",
            "Add cgroup_enable=memory to the kernel's command line on that host (Raspberry Pi: "
            "/boot/firmware/cmdline.txt) and restart it.",
        )


def _no_ipv6(broker: Broker, facts: HostFacts) -> Iterator[Finding]:
    """The broker's network has IPv4 only: docker-proxy forwards IPv6 clients to it."""
    if facts.daemon.has_proxy or broker.network != "published":
        return
    for name, exposed in broker.exposed_ports.items():
        if exposed.bound.version == 6:  # noqa: PLR2004 (IP version)
            yield error(
                f"{PROJECT}:broker.{broker.port_path(name)}.bindAddress",
                f"{exposed.bind_address!r}: Docker publishes no port on an IPv6 address of this "
                "host, because it runs with --userland-proxy=false; every `up` would replace the "
                "container",
                "Bind an IPv4 address ('0.0.0.0'), set broker.network to 'host', or remove "
                f"userland-proxy from {DAEMON_JSON} and restart Docker.",
            )
