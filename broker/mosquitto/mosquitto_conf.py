"""mosquitto.conf, rendered from the settings with options that 2.0 and 2.1 both accept."""

from collections.abc import Iterator

from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from broker.settings.tls_settings import Tls

FIRST_LINE = "# Written by Pulumi from the stack file: the next `pulumi up` overwrites edits."
"""By which a file of this program is recognized."""

CONFIG_DIR = "/mosquitto/config"
DATA_DIR = "/mosquitto/data"
LOG_DIR = "/mosquitto/log"

TLS_DIR = "tls"
"""Below the configuration folder: a folder for each listener that serves a certificate."""

KEY_AND_CERTIFICATE_FILE = "pair.pem"
"""A key and its certificate in one file, so that one rename replaces both."""

CLIENT_CA_FILE = "clients.pem"
"""The CA that must have signed the certificates of clients."""


LARGEST_ANNOUNCED = 268_435_455
"""The broker announces its limit to MQTT 5 clients; paho (Python) rejects a larger one."""


RESERVED_CONNECTIONS = 10
"""Connection limit of the reserved listener; checks use one connection at a time."""


def render_conf(broker: Broker, *, reserved: bool = False) -> str:
    """
    Return the text of mosquitto.conf (mosquitto.conf(5)).

    *reserved* adds the listener for checks, which clients cannot reach (``reserves`` in
    reload_or_replace.py).
    """
    blocks = (
        _security_lines(broker),
        _persistence_lines(broker),
        _logging_lines(broker),
        _limit_lines(broker),
        *(_listener_lines(broker, name, listener) for name, listener in broker.listeners.items()),
        *([_reserved_lines(broker)] if reserved else []),
    )
    return "\n".join("".join(f"{line}\n" for line in block) for block in blocks)


def _security_lines(broker: Broker) -> Iterator[str]:
    yield FIRST_LINE
    yield "allow_anonymous false"
    yield f"password_file {CONFIG_DIR}/{broker.files.passwords}"
    yield f"acl_file {CONFIG_DIR}/{broker.files.acl}"


def _persistence_lines(broker: Broker) -> Iterator[str]:
    yield "persistence true"
    yield f"persistence_location {DATA_DIR}/"
    yield f"autosave_interval {broker.persistence.autosave_interval}"
    yield f"autosave_on_changes {_word(broker.persistence.autosave_on_changes)}"


def _logging_lines(broker: Broker) -> Iterator[str]:
    # stdout is for `docker logs`; the manual setup guide tails the file.
    yield "log_dest stdout"
    yield f"log_dest file {LOG_DIR}/{broker.logging.file}"
    yield "log_timestamp_format %Y-%m-%dT%H:%M:%S"
    yield from (f"log_type {log_type}" for log_type in broker.logging.types)


def _limit_lines(broker: Broker) -> Iterator[str]:
    yield f"max_queued_messages {broker.limits.max_queued_messages}"
    yield f"max_inflight_messages {broker.limits.max_inflight_messages}"
    # Without this line 2.0 has no limit and 2.1 has 2,000,000: an upgrade would change the limit.
    yield f"max_packet_size {min(broker.limits.max_packet_size, LARGEST_ANNOUNCED)}"


def _listener_lines(broker: Broker, name: str, listener: Listener) -> Iterator[str]:
    yield f"listener {listener.port}{_bound(broker, listener)}"
    yield f"protocol {listener.protocol}"
    # The limit is per listener: above the first `listener` line it has no effect.
    yield f"max_connections {listener.max_connections or broker.limits.max_connections}"
    if listener.tls is not None:
        yield from _tls_lines(name, listener.tls)


def _reserved_lines(broker: Broker) -> Iterator[str]:
    # The loopback of the container, or with `network: host` of the host. Mosquitto counts
    # connections per listener, so checks can connect while another listener is full.
    yield f"listener {broker.reserved_port} 127.0.0.1"
    yield "protocol mqtt"
    yield f"max_connections {RESERVED_CONNECTIONS}"


def _tls_lines(name: str, tls: Tls) -> Iterator[str]:
    folder = f"{CONFIG_DIR}/{TLS_DIR}/{name}"
    yield f"certfile {folder}/{KEY_AND_CERTIFICATE_FILE}"
    yield f"keyfile {folder}/{KEY_AND_CERTIFICATE_FILE}"
    # The minimum version, in 2.0 and in 2.1.
    yield f"tls_version tlsv{tls.minimum_version}"
    if tls.requires_client_certificate:
        yield f"cafile {folder}/{CLIENT_CA_FILE}"
        yield "require_certificate true"
        yield f"use_identity_as_username {_word(tls.identity_as_username)}"


def _bound(broker: Broker, listener: Listener) -> str:
    # A published port is bound by Docker, and the container's network has no other member. Without
    # an address Mosquitto listens on both IP versions, which '::' means in a stack file.
    if broker.network == "published" or listener.bind_address == "::":
        return ""
    return f" {listener.bind_address}"


def _word(value: bool) -> str:  # noqa: FBT001 (mosquitto.conf spells a boolean out)
    return "true" if value else "false"
