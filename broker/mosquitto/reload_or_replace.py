"""Decide whether a change needs a reload of the broker or a replacement of its container."""

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

mosquitto.conf(5) is wrong here: it lists options as reloaded that only a start applies.
"""


def start_lines(conf: str) -> list[str]:
    """Return the lines of mosquitto.conf that only a start of the broker applies."""
    lines = (line for line in conf.splitlines() if line and not line.startswith("#"))
    return [line for line in lines if line.split(" ", 1)[0] not in RELOADED]


def start_needs(broker: Broker, *, reserved: bool = False) -> dict[str, str]:
    """
    Return what is fixed when a container starts, by setting; a new value replaces the container.

    Users and rules are not included, and of mosquitto.conf only the lines that a reload ignores.
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
        "listeners": " ".join(
            f"{listener.bind_address}:{listener.port}" for listener in broker.listeners.values()
        ),
        "limits.openFiles": str(broker.limits.descriptors),
        "stopGrace": str(broker.stop_grace),
        "logging": f"{logging.max_size} {logging.max_files}",
        "health": f"{health.interval} {health.timeout} {health.retries}",
        "mosquitto.conf": "\n".join(start_lines(render_conf(broker, reserved=reserved))),
    }


def start_digest(broker: Broker, image: str = "", *, reserved: bool = False) -> str:
    """Return a digest of ``start_needs``; *image* overrides the declared one."""
    needs: Mapping[str, str] = start_needs(broker, reserved=reserved)
    needs = {**needs, "image": image} if image else needs
    return sha256(repr(sorted(needs.items())).encode()).hexdigest()[:16]


def reserves(broker: Broker, facts: HostFacts, image: str = "") -> bool:
    """
    Return whether mosquitto.conf has the reserved listener (docs/explanation/decisions/0020).

    Only a start adds a listener, and a start disconnects every client. So a container that was
    created without the reserved listener is not replaced only to add it, unless the stack file
    sets its port.
    """
    current_digest = facts.start_digest(broker.container)
    return broker.health.port is not None or current_digest != start_digest(broker, image)


def reserved_port_errors(broker: Broker, facts: HostFacts, *, reserved: bool) -> list[Finding]:
    """Return an error if another program on the host uses the reserved listener's port."""
    user = facts.port_user(broker.reserved_port)
    if not reserved or broker.network != "host" or not user:
        return []
    return [
        error(
            f"{PROJECT}:broker.health.port",
            f"{broker.reserved_port}: this port is in use on the host by {user}, and with network "
            "'host' the reserved listener needs it",
            "Stop that program, or set broker.health.port to another port.",
        )
    ]
