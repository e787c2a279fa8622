"""Monitoring settings, and the exporter, firewall and host metrics that follow from them."""

import json
import re

import pytest
from declared import ROOT, settings_of, smallest, stack_file
from host_scripts import host_scripts

from broker.access.review import review_access
from broker.findings import of_severity, one_line
from broker.firewall.backend import choose, remote_ports
from broker.firewall.rules import describe_firewall, rules_texts
from broker.host.facts import HostFacts
from broker.host.requirements import host_requirements
from broker.monitoring.mqtt_exporter import (
    METRICS,
    OWN_METRICS,
    dialled,
    exporter_command,
    render_exporter,
)
from broker.monitoring.node_exporter_metrics import METRICS as HOST_METRICS
from broker.monitoring.node_exporter_metrics import textfile_calls, textfile_timer
from broker.settings.stack_settings import Settings, SettingsError

KNOWN_METRICS = {
    *(metric.name for metric in METRICS),
    *HOST_METRICS,
    *OWN_METRICS,
    *("mosquitto:queued_messages", "up", "node_textfile_mtime_seconds"),
}
ELSEWHERE = {"bindAddress": "192.168.2.3", "allowFrom": ["192.168.2.5/32"]}


def errors_of(settings, stack):
    return tuple(one_line(of_severity("error", review_access(settings, stack))))


def declared(user="sensor", read=("$SYS/#",), **monitoring):
    raw = smallest(monitoring={"user": user, **monitoring})
    raw["users"]["sensor"]["read"] = list(read)
    return raw


def parse(**more):
    return Settings.parse(declared(**more))


def test_default_is_no_monitoring():
    settings = Settings.parse(smallest())
    assert settings.broker.monitoring is None
    assert list(settings.broker.exposed_ports) == ["mqtt"]
    assert host_requirements(settings, "test").exporter == ""


def test_default_address_is_loopback():
    found = parse().broker.monitoring
    assert (found.port, found.bind_address, found.allow_from) == (9641, "127.0.0.1", ())
    assert found.textfile == "/var/lib/prometheus/node-exporter"


@pytest.mark.parametrize(
    ("monitoring", "message"),
    [
        (
            {"bindAddress": "192.168.2.3"},
            "broker.monitoring.allowFrom: []: must list the networks that may read",
        ),
        ({"bindAddress": "0.0.0.0"}, "broker.monitoring.allowFrom"),
        ({"port": 1883}, "broker.monitoring.port: 1883: is the port of listener 'mqtt' already"),
        (
            {"user": "sensr"},
            "broker.monitoring.user: 'sensr': is not a user. Did you mean 'sensor'?",
        ),
        ({"allowFrom": ["192.168.3.5/16"]}, "broker.monitoring.allowFrom[0]: '192.168.3.5/16'"),
        ({"image": "mqtt2prometheus"}, "broker.monitoring.image: 'mqtt2prometheus': has no tag"),
        ({"textfile": "metrics"}, "broker.monitoring.textfile: 'metrics'"),
        ({"scrape": 1}, "broker.monitoring.scrape: unknown key"),
    ],
)
def test_invalid_settings_are_rejected_with_path_and_rule(monitoring, message):
    with pytest.raises(SettingsError) as error:
        parse(**monitoring)
    assert message in str(error.value)


def test_listener_cannot_have_the_name_of_the_exporter():
    raw = declared()
    raw["broker"]["listeners"]["exporter"] = {"port": 1884, "allowFrom": ["192.168.0.0/16"]}
    with pytest.raises(SettingsError, match="is reserved for the exporter of 'monitoring'"):
        Settings.parse(raw)
    del raw["broker"]["monitoring"]
    assert "exporter" in Settings.parse(raw).broker.listeners


def test_adopted_user_cannot_be_the_login_of_the_exporter():
    raw = declared()
    raw["users"]["sensor"]["password"] = "adopted"
    with pytest.raises(SettingsError, match="has an adopted password"):
        Settings.parse(raw)


def test_user_without_access_to_sys_topics_is_an_error():
    (error,) = errors_of(parse(read=["paragon/#"]), "test")
    assert error.startswith("sentient-mqtt:broker.monitoring.user: 'sensor': may not read $SYS/")
    assert 'read: ["$SYS/broker/#"]' in error
    assert errors_of(parse(), "test") == ()


class TestExporter:
    def test_broker_url_is_by_name_or_on_the_host_network(self):
        assert dialled(parse().broker) == "tcp://mosquitto-test:1883"
        raw = declared()
        raw["broker"]["network"] = "host"
        assert dialled(Settings.parse(raw).broker) == "tcp://127.0.0.1:1883"

    def test_config_contains_login_and_every_metric_once(self):
        config = json.loads(render_exporter(parse().broker, "sensor.b", "pass\"word'"))
        mqtt = config["mqtt"]
        assert (mqtt["user"], mqtt["password"]) == ("sensor.b", "pass\"word'")
        assert mqtt["topic_path"] == "$SYS/broker/#"
        names = [metric["prom_name"] for metric in config["metrics"]]
        assert len(set(names)) == len(names) == len(METRICS)
        labels = {metric["const_labels"]["broker"] for metric in config["metrics"]}
        assert labels == {"mosquitto-test"}

    def test_expressions_match_the_whole_topic_below_the_broker(self):
        config = json.loads(render_exporter(parse().broker, "sensor", "x"))["mqtt"]
        for expression, group in (
            (config["device_id_regex"], "deviceid"),
            (config["metric_per_topic_config"]["metric_name_regex"], "metricname"),
        ):
            found = re.fullmatch(expression, "$SYS/broker/retained messages/count")
            assert found[group] == "retained messages/count"
            assert re.fullmatch(expression, "paragon/$SYS/broker/x") is None

    def test_command_binds_the_address_that_docker_does_not(self):
        broker = parse().broker
        assert "0.0.0.0" in exporter_command(broker, broker.monitoring)
        raw = declared(bindAddress="::", allowFrom=["fd00::/64"])
        raw["broker"]["network"] = "host"
        broker = Settings.parse(raw).broker
        assert "[::]" in exporter_command(broker, broker.monitoring)


class TestExporterPort:
    def test_firewall_restricts_the_exporter_port(self):
        broker = parse(**ELSEWHERE).broker
        assert list(remote_ports(broker)) == ["mqtt", "exporter"]
        rules = "".join(rules_texts(broker, choose(broker, HostFacts(facts={}))).values())
        assert "ip daddr 192.168.2.3 tcp dport 9641 goto listener-exporter" in rules
        assert "ct original proto-dst 9641 goto listener-exporter" in rules
        assert "ip saddr { 192.168.2.5/32 } accept" in rules
        output = describe_firewall(broker, choose(broker, HostFacts(facts={})))
        assert output["listeners"]["exporter"]["allowFrom"] == ["192.168.2.5/32"]

    def test_exporter_on_loopback_needs_no_rule(self):
        broker = parse().broker
        assert list(remote_ports(broker)) == ["mqtt"]
        rules = "".join(rules_texts(broker, choose(broker, HostFacts(facts={}))).values())
        assert "9641" not in rules

    def test_exporter_port_is_a_host_requirement(self):
        required = host_requirements(parse(), "test")
        assert required.ports["broker.monitoring.port"] == 9641
        assert required.exporter.startswith("ghcr.io/hikhvar/mqtt2prometheus:")
        assert required.exporter_fallback_image == ""


class TestHostMetrics:
    def test_calls_without_backups_and_certificates(self):
        words = {
            call.words[0]: call.words[1:]
            for call in textfile_calls(parse().broker, "/x/y", "s", "image:1")
        }
        assert words["textfile"] == (
            "/x/y/sentient-mqtt-mosquitto-test.prom",
            "mosquitto-test",
            "image:1",
        )
        assert words["limits"] == ("1000", "100")
        assert "backups" not in words
        assert "certificate" not in words

    def test_calls_with_backups_and_certificates(self):
        raw = stack_file("prod")
        raw["broker"]["listeners"]["mqtts"] = {
            "port": 8883,
            "allowFrom": ["192.168.0.0/16"],
            "tls": {},
        }
        raw["broker"]["listeners"]["mqtt"]["plain"] = True
        calls = [
            call.words
            for call in textfile_calls(Settings.parse(raw).broker, "/x/y", "s", "image:1")
        ]
        assert ("backups", "/opt/sentient/backups/mqtt", "86400", "mosquitto-shared") in calls
        assert (
            "certificate",
            "mqtts",
            "/opt/sentient/config/mosquitto-prod/tls/mqtts/pair.pem",
        ) in calls

    def test_timer_runs_every_minute_and_removal_deletes_the_files(self):
        timer = textfile_timer(
            parse().broker, "/x/y", socket="s", image="image:1", script="#!/bin/sh\n"
        )
        assert "OnCalendar=*-*-* *:*:00" in timer.timer()
        assert timer.cron().splitlines()[1].startswith("* * * * * root sh ")
        written = [call.words[1] for call in timer.calls() if call.words[0] == "written"]
        assert "/x/y/sentient-mqtt-mosquitto-test.prom" in written


class TestDashboardAndAlerts:
    """An alert or a panel with an unknown metric would never show anything."""

    @staticmethod
    def metrics_in(expression):
        text = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
        return {
            word
            for word in re.findall(r"[a-z][a-z_:0-9]+", text)
            if "_" in word or ":" in word or word == "up"
        }

    def test_every_panel_uses_known_metrics(self):
        board = json.loads((ROOT / "monitoring" / "dashboard.json").read_text())
        assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                names = self.metrics_in(target["expr"])
                assert names, target
                assert names <= KNOWN_METRICS, names - KNOWN_METRICS

    def test_every_alert_uses_known_metrics(self):
        text = (ROOT / "monitoring" / "alerts.yml").read_text()
        names = set(re.findall(r"\b(?:mosquitto|sentient_mqtt|mqtt2prometheus)[_:][a-z_]+", text))
        assert names <= KNOWN_METRICS, names - KNOWN_METRICS

    def test_script_writes_exactly_the_listed_metrics(self):
        script = host_scripts("commands/node_exporter_metrics.sh")
        written = {f"sentient_mqtt_{name}" for name in re.findall(r"\bmetric ([a-z_]+)", script)}
        assert written == set(HOST_METRICS)

    def test_production_uses_the_monitoring_user(self):
        settings = settings_of("prod")
        assert settings.broker.monitoring.user == "sentient_monitor_prod"
        assert errors_of(settings, "prod") == ()
