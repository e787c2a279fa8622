"""A stack's exporter and its host's figures, scraped by a real Prometheus; the rules as shipped."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from mqtt import login_error
from patience import eventually
from ports import free_port
from scraping import MONITORING, scraped

from bootstrap.image import EXPORTER, fallback_image
from broker.monitoring.mqtt_exporter import container_of
from broker.monitoring.node_exporter_metrics import METRICS, file_name

READER = "sentient_monitor_prod"


@pytest.fixture(scope="module")
def watched(make_site, ground, daemon):
    fallback_image("trixie", daemon, EXPORTER)
    site = make_site("watched")

    def declare(config):
        broker = config["broker"]
        broker["monitoring"] = {
            "user": READER,
            "port": free_port(),
            "textfile": str(ground / "textfiles"),
        }
        broker["backups"] = {"folder": str(ground / "watched-backups"), "schedule": "30 3 * * *"}
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


def tick(script):
    """What the host's clock does each minute."""
    subprocess.run(["sh", script, "apply"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def prometheus_of(watched, ground, prometheus, script, textfile):
    tick(script)
    port = watched.settings.broker.monitoring.port
    with scraped(prometheus, ground / "prometheus", port, textfile.parent) as found:
        yield found


def test_the_hosts_clock_writes_its_figures(script, watched):
    cron = Path("/etc/cron.d", f"sentient-mqtt-textfile-{watched.container}")
    assert f"* * * * * root sh {script} apply" in cron.read_text()
    assert script.stat().st_mode & 0o777 == 0o700


def test_nothing_more_is_to_be_done(watched):
    watched.up("--expect-no-changes")


def test_the_password_is_in_one_file_of_the_brokers_own(watched, exporter, docker):
    file = Path("/etc/sentient-mqtt", watched.container, "exporter", "config.yaml")
    found = file.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o600, 1883)
    password = watched.password(READER)
    assert password in file.read_text()
    assert password not in docker("inspect", exporter)
    assert password not in watched.up("--diff").output


def test_every_figure_of_the_host_and_of_the_broker_is_scraped(prometheus_of, watched):
    for name in METRICS:
        eventually(lambda name=name: prometheus_of.query(name), 30)
    assert prometheus_of.query("sentient_mqtt_container_healthy") == {watched.container: 1}
    assert prometheus_of.query("sentient_mqtt_clients_limit") == {watched.container: 10_000}
    assert list(prometheus_of.query("sentient_mqtt_certificate_expiry_timestamp_seconds")) == [
        "mqtts"
    ]


def test_every_panel_has_something_to_show(prometheus_of, watched):
    board = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$broker", watched.container)
            eventually(lambda it=expression: prometheus_of.query(it), 60)


def test_a_broker_that_is_well_has_one_alert_the_backup_that_it_never_had(prometheus_of, watched):
    firing = eventually(prometheus_of.alerts, 30)
    assert firing == {"BrokerBackupTooOld": {watched.container}}


def test_after_a_backup_it_has_none(prometheus_of, watched, script):
    subprocess.run(["sh", script.with_name("backup"), "apply"], check=True, capture_output=True)
    tick(script)
    eventually(lambda: prometheus_of.alerts() == {}, 30)


def test_refused_logins_are_counted_and_so_is_nobody_else(prometheus_of, watched, script):
    def refused() -> float:
        tick(script)
        (count,) = prometheus_of.query("sentient_mqtt_refused_logins_total").values()
        return count

    before = refused()
    for _ in range(7):
        assert login_error(watched.ports[0], "admin", "wrong") == "Not authorized"
    with watched.client("admin"):
        eventually(lambda: refused() == before + 7, 30)


def test_a_stopped_broker_is_an_alert_and_a_started_one_is_not(
    prometheus_of, watched, script, docker
):
    docker("stop", watched.container)
    tick(script)
    eventually(lambda: prometheus_of.alerts().get("BrokerDown") == {watched.container, ""}, 30)
    docker("start", watched.container)
    eventually(lambda: docker("inspect", watched.container).count('"healthy"'), 30)
    tick(script)
    eventually(lambda: "BrokerDown" not in prometheus_of.alerts(), 60)


def test_a_rotated_reader_is_read_as_with_its_new_password(
    prometheus_of, watched, exporter, docker
):
    """The exporter is made anew, and the broker is not."""
    before = (docker("inspect", "--format", "{{.Id}}", exporter), watched.inspect()["Id"])

    def raise_generation(config):
        config["users"][READER]["generation"] = "2"

    watched.edit(raise_generation)
    watched.up()
    after = (docker("inspect", "--format", "{{.Id}}", exporter), watched.inspect()["Id"])
    assert after[0] != before[0]
    assert after[1] == before[1]
    eventually(lambda: prometheus_of.query("mqtt2prometheus_connected == 1"), 40)


def test_after_destroy_nothing_of_it_is_there(watched, exporter, script, textfile, docker):
    tick(script)
    assert textfile.exists()
    watched.destroy()
    assert exporter not in docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    assert not textfile.exists()
    assert not script.parent.exists()
    assert not Path("/etc/cron.d", f"sentient-mqtt-textfile-{watched.container}").exists()
    assert not Path("/run", f"sentient-mqtt-{watched.container}.counted").exists()
