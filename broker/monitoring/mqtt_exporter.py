"""The configuration of mqtt2prometheus: its login, and the metric of each ``$SYS`` topic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from broker.host.layout import FILE_MODE, HostFile, folder_of
from broker.host.script_calls import ScriptCall
from broker.monitoring.status import SYSTEM
from broker.settings.broker_settings import Broker
from broker.settings.monitoring_settings import Monitoring

PROGRAM = "/mqtt2prometheus"
"""Its path in the image and in the fallback image."""
CONFIG_DIR = "/exporter"
CONFIG_FILE = "config.yaml"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A topic of Mosquitto below ``$SYS/broker/``, and the metric for it."""

    topic: str
    name: str
    type: Literal["counter", "gauge"]
    help: str


def _all() -> Iterator[Metric]:
    for topic, name, about in (
        ("clients/connected", "clients_connected", "Clients connected."),
        ("clients/disconnected", "clients_away", "Clients away that have a session."),
        ("subscriptions/count", "subscriptions", "Subscriptions."),
        ("retained messages/count", "retained_messages", "Retained messages, $SYS included."),
        ("store/messages/count", "stored_messages", "Messages retained or waiting for a client."),
        ("store/messages/bytes", "stored_bytes", "Bytes of their payloads."),
    ):
        yield Metric(topic=topic, name=f"mosquitto_{name}", type="gauge", help=about)
    for topic, name, about in (
        ("messages/received", "messages_received", "MQTT packets received."),
        ("messages/sent", "messages_sent", "MQTT packets sent."),
        ("publish/messages/received", "publish_received", "PUBLISH packets received."),
        ("publish/messages/sent", "publish_sent", "PUBLISH packets sent."),
        ("publish/messages/dropped", "publish_dropped", "Messages lost: a client's queue is full."),
        ("bytes/received", "bytes_received", "Bytes received."),
        ("bytes/sent", "bytes_sent", "Bytes sent."),
    ):
        yield Metric(topic=topic, name=f"mosquitto_{name}_total", type="counter", help=about)


METRICS = tuple(_all())
"""2.0 and 2.1 publish all of them: tests/integration/test_exporter.py."""

OWN_METRICS = ("mqtt2prometheus_connected",)
"""Metrics of the exporter about itself."""


def container_of(broker: Broker) -> str:
    return f"{broker.container}-exporter"


def config_folder(broker: Broker) -> str:
    """Return the folder of its configuration on the host, the only one mounted into it."""
    return f"{folder_of(broker)}/exporter"


def dialled(broker: Broker) -> str:
    """Return the URL at which the exporter reaches the broker: by name on a Docker network."""
    _, listener = broker.mqtt_listener()
    host = broker.container if broker.network == "published" else broker.address_in_container
    return f"tcp://{f'[{host}]' if ':' in host else host}:{listener.port}"


def render_exporter(broker: Broker, login: str, password: str) -> str:
    """
    Return its configuration, which contains *password*: YAML, written as JSON.

    The format is in mqtt2prometheus' README, "Config file". Mosquitto publishes a value again only
    if it has changed, so values never expire (``timeout``) and have no timestamp
    (``omit_timestamp``): Prometheus drops samples that are older than five minutes.
    """
    return (
        json.dumps(
            {
                "mqtt": {
                    "server": dialled(broker),
                    "user": login,
                    "password": password,
                    "client_id": container_of(broker),
                    "topic_path": f"{SYSTEM}#",
                    "qos": 0,
                    # It stores one value per device, so each topic is its own device.
                    "device_id_regex": r"^\$SYS/broker/(?P<deviceid>.*)$",
                    "metric_per_topic_config": {
                        "metric_name_regex": r"^\$SYS/broker/(?P<metricname>.*)$"
                    },
                },
                "cache": {"timeout": "-1s"},
                "metrics": [
                    {
                        "prom_name": metric.name,
                        "mqtt_name": metric.topic,
                        "help": metric.help,
                        "type": metric.type,
                        "omit_timestamp": True,
                        "const_labels": {"broker": broker.container},
                    }
                    for metric in METRICS
                ],
            },
            indent=2,
        )
        + "\n"
    )


def exporter_calls(broker: Broker, login: str, password: str) -> list[ScriptCall]:
    """Return the call of ``host/lib/put_files.sh`` that installs the configuration."""
    path = f"{config_folder(broker)}/{CONFIG_FILE}"
    text = render_exporter(broker, login, password)
    return [HostFile(path=path, owner=broker.owner, text=text, mode=FILE_MODE).call()]


def exporter_command(broker: Broker, monitoring: Monitoring) -> list[str]:
    """Return the exporter's argv. It contains the path of the secret, not the secret."""
    # Docker binds a published address; on the host's network the exporter binds it.
    address = "0.0.0.0"  # noqa: S104 (inside its container)
    if broker.network == "host":
        address = monitoring.bind_address
    return [
        *(PROGRAM, "-config", f"{CONFIG_DIR}/{CONFIG_FILE}"),
        *("-listen-address", f"[{address}]" if ":" in address else address),
        *("-listen-port", str(monitoring.port)),
    ]
