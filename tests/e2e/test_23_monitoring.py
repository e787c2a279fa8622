"""A real Prometheus scrapes the exporter and the host's metrics, with the shipped rules."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
from mqtt import login_error
from patience import eventually
from ports import free_port
from scraping import MONITORING, scraped

from bootstrap.broker_image import EXPORTER, fallback_image
from broker.monitoring.mqtt_exporter import container_of
from broker.monitoring.node_exporter_metrics import METRICS, file_name

MONITORING_USER = "sentient_monitor_prod"


@pytest.fixture(scope="module")
def watched(make_site, shared_folder, daemon):
    fallback_image("trixie", daemon, EXPORTER)
    site = make_site("watched")

    def declare(config):
        broker = config["broker"]
        broker["monitoring"] = {
            "user": MONITORING_USER,
            "port": free_port(),
            "textfile": str(shared_folder / "textfiles"),
        }
        broker["backups"] = {
            "folder": str(shared_folder / "watched-backups"),
            "schedule": "30 3 * * *",
        }
        broker["listeners"]["mqtt"]["plain"] = True
        broker["listeners"]["mqtts"] = {
            "port": free_port(),
            "bindAddress": "127.0.0.1",
            "tls": {},
        }

    site.edit(declare)
    site.up()
    yield site
    if site.is_there():
        site.destroy()


@pytest.fixture(scope="module")
def exporter(watched) -> str:
    return container_of(watched.settings.broker)


@pytest.fixture(scope="module")
def script(watched) -> Path:
    return Path("/etc/sentient-mqtt", watched.container, "textfile")


@pytest.fixture(scope="module")
def textfile(watched) -> Path:
    broker = watched.settings.broker
    return Path(broker.monitoring.textfile) / file_name(broker)


def write_metrics(script):
    """Run what the host's timer runs every minute."""
    subprocess.run(["sh", script, "apply"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def prometheus_of(watched, shared_folder, prometheus, script, textfile):
    write_metrics(script)
    port = watched.settings.broker.monitoring.port
    with scraped(prometheus, shared_folder / "prometheus", port, textfile.parent) as running:
        yield running


def test_cron_runs_the_metrics_script_every_minute(script, watched):
    cron = Path("/etc/cron.d", f"sentient-mqtt-textfile-{watched.container}")
    assert f"* * * * * root sh {script} apply" in cron.read_text()
    assert script.stat().st_mode & 0o777 == 0o700


def test_second_up_changes_nothing(watched):
    watched.up("--expect-no-changes")


def test_exporters_password_is_only_in_a_file_of_the_brokers_user(watched, exporter, docker):
    file = Path("/etc/sentient-mqtt", watched.container, "exporter", "config.yaml")
    status = file.stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o600, 1883)
    password = watched.password(MONITORING_USER)
    assert password in file.read_text()
    assert password not in docker("inspect", exporter)
    assert password not in watched.up("--diff").output


def test_every_metric_of_host_and_broker_is_scraped(prometheus_of, watched):
    for name in METRICS:
        eventually(partial(prometheus_of.query, name), 30)
    assert prometheus_of.query("sentient_mqtt_container_healthy") == {watched.container: 1}
    assert prometheus_of.query("sentient_mqtt_clients_limit") == {watched.container: 10_000}
    assert list(prometheus_of.query("sentient_mqtt_certificate_expiry_timestamp_seconds")) == [
        "mqtts"
    ]


def test_every_panel_of_the_dashboard_has_data(prometheus_of, watched):
    board = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$broker", watched.container)
            eventually(partial(prometheus_of.query, expression), 60)


def test_only_alert_of_a_healthy_broker_is_its_missing_backup(prometheus_of, watched):
    firing = eventually(prometheus_of.alerts, 30)
    assert firing == {"BrokerBackupTooOld": {watched.container}}


def test_backup_ends_the_alert(prometheus_of, watched, script):
    subprocess.run(["sh", script.with_name("backup"), "apply"], check=True, capture_output=True)
    write_metrics(script)
    eventually(lambda: prometheus_of.alerts() == {}, 30)


def test_refused_logins_are_counted_and_accepted_ones_are_not(prometheus_of, watched, script):
    def refused() -> float:
        write_metrics(script)
        (count,) = prometheus_of.query("sentient_mqtt_refused_logins_total").values()
        return count

    before = refused()
    for _ in range(7):
        assert login_error(watched.ports[0], "admin", "wrong") == "Not authorized"
    with watched.client("admin"):
        eventually(lambda: refused() == before + 7, 30)


def test_stopped_broker_fires_an_alert_until_it_runs_again(prometheus_of, watched, script, docker):
    docker("stop", watched.container)
    write_metrics(script)
    eventually(lambda: prometheus_of.alerts().get("BrokerDown") == {watched.container, ""}, 30)
    docker("start", watched.container)
    eventually(lambda: docker("inspect", watched.container).count('"healthy"'), 30)
    write_metrics(script)
    eventually(lambda: "BrokerDown" not in prometheus_of.alerts(), 60)


def test_rotation_of_the_monitoring_user_replaces_only_the_exporter(
    prometheus_of, watched, exporter, docker
):
    before = (docker("inspect", "--format", "{{.Id}}", exporter), watched.inspect()["Id"])

    def raise_generation(config):
        config["users"][MONITORING_USER]["generation"] = "2"

    watched.edit(raise_generation)
    watched.up()
    after = (docker("inspect", "--format", "{{.Id}}", exporter), watched.inspect()["Id"])
    assert after[0] != before[0]
    assert after[1] == before[1]
    eventually(lambda: prometheus_of.query("mqtt2prometheus_connected == 1"), 40)


def test_destroy_removes_exporter_and_metrics(watched, exporter, script, textfile, docker):
    write_metrics(script)
    assert textfile.exists()
    watched.destroy()
    assert exporter not in docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    assert not textfile.exists()
    assert not script.parent.exists()
    assert not Path("/etc/cron.d", f"sentient-mqtt-textfile-{watched.container}").exists()
    assert not Path("/run", f"sentient-mqtt-{watched.container}.counted").exists()
