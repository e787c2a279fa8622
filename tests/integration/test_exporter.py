"""The exporter's image with the rendered configuration provides all metrics of both lines."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mqtt import Client
from patience import eventually
from ports import free_port

from bootstrap.broker_image import EXPORTER, fallback_image
from broker.monitoring.mqtt_exporter import (
    CONFIG_DIR,
    CONFIG_FILE,
    METRICS,
    OWN_METRICS,
    container_of,
    exporter_command,
    render_exporter,
)

READER = "sentient_monitor_prod"


@dataclass(frozen=True)
class Exporter:
    port: int

    def metrics(self) -> dict[str, float]:
        """Return the present metrics by name without labels; nothing if it serves none."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/metrics", timeout=60
            ) as page:
                lines = page.read().decode().splitlines()
        except (urllib.error.URLError, ConnectionError):
            return {}
        samples = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
        return {name.partition("{")[0]: float(value) for name, value in samples}

    def await_value(self, name: str, value: float, seconds: float = 40) -> None:
        eventually(lambda: self.metrics().get(name) == value, seconds)


@pytest.fixture(scope="module")
def running(start):
    def change(raw: dict[str, Any]) -> None:
        raw["broker"]["monitoring"] = {"user": READER, "port": free_port()}
        # The exporter of this test shares the network namespace of the host with the broker.
        raw["broker"]["network"] = "host"

    return start(change)


@pytest.fixture(scope="module")
def run_exporter(running, daemon, docker, tmp_path_factory) -> Iterator[Any]:
    image = fallback_image("trixie", daemon, EXPORTER).name
    made: list[str] = []

    def run(password: str, port: int) -> Exporter:
        folder = Path(tmp_path_factory.mktemp("exporter"))
        folder.chmod(0o755)
        text = json.loads(render_exporter(running.broker, READER, password))
        text["mqtt"]["server"] = f"tcp://127.0.0.1:{running.port}"
        (folder / CONFIG_FILE).write_text(json.dumps(text))
        monitoring = running.broker.monitoring.model_copy(update={"port": port})
        name = f"{container_of(running.broker)}-{port}"
        made.append(name)
        docker(
            *("run", "--detach", "--name", name, "--network", "host", "--read-only"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("--user", "1883:1883", "--volume", f"{folder}:{CONFIG_DIR}:ro", image),
            *exporter_command(running.broker, monitoring),
        )
        return Exporter(port)

    yield run
    for name in made:
        docker("rm", "--force", name, check=False)


@pytest.fixture(scope="module")
def exporter(run_exporter, running) -> Exporter:
    return run_exporter(running.passwords[READER], running.broker.monitoring.port)


def test_every_metric_has_a_value(exporter):
    expected = {*(metric.name for metric in METRICS), *OWN_METRICS}
    eventually(lambda: expected <= exporter.metrics().keys(), 40)
    assert exporter.metrics()["mqtt2prometheus_connected"] == 1


def test_client_count_follows_the_broker(exporter, running):
    exporter.await_value("mosquitto_clients_connected", 1)
    with running.client("admin"), running.client("paragon_devices"):
        exporter.await_value("mosquitto_clients_connected", 3)
    exporter.await_value("mosquitto_clients_connected", 1)


def test_queued_messages_of_a_disconnected_client_are_counted(exporter, running):
    with Client(running.port, "admin", running.passwords["admin"], session="away") as away:
        away.subscribe("paragon/#")
    before = exporter.metrics()
    with running.client("sentient_api_prod") as client:
        for number in range(50):
            client.publish("paragon/room/events/x", str(number))
    exporter.await_value("mosquitto_clients_away", 1)
    waiting = before["mosquitto_stored_messages"] - before["mosquitto_retained_messages"] + 50

    def counted() -> bool:
        metrics = exporter.metrics()
        return (
            metrics["mosquitto_stored_messages"] - metrics["mosquitto_retained_messages"] == waiting
        )

    eventually(counted, 40)


def test_stopped_broker_is_reported_and_a_restarted_one_is_read_again(exporter, running, docker):
    docker("kill", running.broker.container)
    exporter.await_value("mqtt2prometheus_connected", 0, seconds=30)
    assert exporter.metrics()["mosquitto_clients_connected"] >= 1, "the last known values stay"
    docker("start", running.broker.container)
    exporter.await_value("mqtt2prometheus_connected", 1)
    sent = exporter.metrics()["mosquitto_bytes_sent_total"]
    eventually(lambda: exporter.metrics()["mosquitto_bytes_sent_total"] != sent, 40)


def test_wrong_password_serves_no_metrics(run_exporter, running):
    port = free_port()
    before = running.log().count("not authorised")
    run_exporter("wrong", port)
    eventually(lambda: running.log().count("not authorised") > before, 20)
    assert Exporter(port).metrics() == {}
