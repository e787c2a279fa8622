"""What a change needs: a reload of the broker that runs, or a container made anew."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from broker.findings import PROJECT, Finding, error
from broker.host.facts import HostFacts
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.broker_settings import Broker

RELOADED = frozenset(
    {
        "allow_anonymous",
        "password_file",
        "acl_file",
        "autosave_interval",
        "autosave_on_changes",
        "log_dest",
        "log_timestamp_format",
        "log_type",
    }
)
"""Options that a SIGHUP applies in 2.0 and in 2.1: tests/integration/test_mosquitto_options.py.

Not what mosquitto.conf(5) says: it counts some in that only a start applies.
"""


def start_lines(conf: str) -> list[str]:
    """Return the lines of mosquitto.conf that only a start of the broker applies."""
    lines = (each for each in conf.splitlines() if each and not each.startswith("#"))
    return [each for each in lines if each.split(" ", 1)[0] not in RELOADED]


def start_needs(broker: Broker, *, reserved: bool = False) -> dict[str, str]:
    """
    Return all that a container has from its start, by setting; another value, another container.

    Users and rules are not in it, and of mosquitto.conf only what a reload doesn't apply.
    """
    folders, logging, health = broker.folders, broker.logging, broker.health
    return {
        "host": broker.host,
        "container": broker.container,
        "image": broker.image,
        "owner": f"{broker.owner.uid}:{broker.owner.gid}",
        "files.conf": broker.files.conf,
        "folders": f"{folders.config} {folders.data} {folders.log}",
        "network": broker.network,
        "listeners": " ".join(f"{e.bind_address}:{e.port}" for e in broker.listeners.values()),
        "limits.openFiles": str(broker.limits.descriptors),
        "stopGrace": str(broker.stop_grace),
        "logging": f"{logging.max_size} {logging.max_files}",
        "health": f"{health.interval} {health.timeout} {health.retries}",
        "mosquitto.conf": "\n".join(start_lines(render_conf(broker, reserved=reserved))),
    }


def start_digest(broker: Broker, image: str = "", *, reserved: bool = False) -> str:
    """Return a digest of ``start_needs``; *image* is the one that runs, where another stands in."""
    needs: Mapping[str, str] = start_needs(broker, reserved=reserved)
    needs = {**needs, "image": image} if image else needs
    return sha256(repr(sorted(needs.items())).encode()).hexdigest()[:16]


def reserves(broker: Broker, seen: HostFacts, image: str = "") -> bool:
    """
    Return whether mosquitto.conf has the reserved listener (docs/explanation/decisions/0020).

    A container that was made without one, and that nothing else replaces, is not replaced for it:
    only a start adds a listener, and a start disconnects everybody. A port that the stack file
    names is a change that does replace.
    """
    made_from = seen.start_digest(broker.container)
    return broker.health.port is not None or made_from != start_digest(broker, image)


def reserved_port_errors(broker: Broker, seen: HostFacts, *, reserved: bool) -> list[Finding]:
    """Return an error where the reserved listener's port is another's on the host."""
    user = seen.port_user(broker.reserved_port)
    if not reserved or broker.network != "host" or not user:
        return []
    return [
        error(
            f"{PROJECT}:broker.health.port",
            f"{broker.reserved_port}: that port is in use on the host by {user}, and with network "
            "'host' the reserved listener is there",
            "Stop it, or set broker.health.port to another port.",
        )
    ]
