"""What is declared for Prometheus is what the exporter, the firewall and the host are told."""

import json
import re

import pytest
from declared import ROOT, settings_of, smallest, stack_file
from host_scripts import host_scripts

from broker.access.review import review_access
from broker.findings import of_severity, one_line
from broker.firewall.backend import choose, gates
from broker.firewall.rules import describe_firewall, rules_texts
from broker.host.facts import HostFacts
from broker.host.requirements import host_requirements
from broker.monitoring.mqtt_exporter import (
    METRICS,
    OF_ITS_OWN,
    dialled,
    exporter_command,
    render_exporter,
)
from broker.monitoring.node_exporter_metrics import METRICS as OF_THE_HOST
from broker.monitoring.node_exporter_metrics import textfile_calls, textfile_timer
from broker.settings.stack_settings import Settings, SettingsError

TOLD = {
    *(each.name for each in METRICS),
    *OF_THE_HOST,
    *OF_ITS_OWN,
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


def test_nothing_is_there_where_nothing_is_declared():
    settings = Settings.parse(smallest())
    assert settings.broker.monitoring is None
    assert list(settings.broker.gates) == ["mqtt"]
    assert host_requirements(settings, "test").exporter == ""


def test_it_is_this_hosts_alone_where_nothing_else_is_said():
    found = parse().broker.monitoring
    assert (found.port, found.bind_address, found.allow_from) == (9641, "127.0.0.1", ())
    assert found.textfile == "/var/lib/prometheus/node-exporter"


@pytest.mark.parametrize(
    ("monitoring", "said"),
    [
        ({"bindAddress": "192.168.2.3"}, "broker.monitoring.allowFrom: []: must name who may read"),
        ({"bindAddress": "0.0.0.0"}, "broker.monitoring.allowFrom"),
        ({"port": 1883}, "broker.monitoring.port: 1883: is the port of listener 'mqtt' already"),
        (
            {"user": "sensr"},
            "broker.monitoring.user: 'sensr': is not a user. Did you mean 'sensor'?",
        ),
        ({"allowFrom": ["192.168.3.5/16"]}, "broker.monitoring.allowFrom[0]: '192.168.3.5/16'"),
        ({"image": "mqtt2prometheus"}, "broker.monitoring.image: 'mqtt2prometheus': names no tag"),
        ({"textfile": "metrics"}, "broker.monitoring.textfile: 'metrics'"),
        ({"scrape": 1}, "broker.monitoring.scrape: unknown key"),
    ],
)
def test_bad_input_stops_with_its_path_and_the_rule(monitoring, said):
    with pytest.raises(SettingsError) as wrong:
        parse(**monitoring)
    assert said in str(wrong.value)


def test_a_listener_can_not_have_the_exporters_name():
    raw = declared()
    raw["broker"]["listeners"]["exporter"] = {"port": 1884, "allowFrom": ["192.168.0.0/16"]}
    with pytest.raises(SettingsError, match="is the name of what 'monitoring' makes"):
        Settings.parse(raw)
    del raw["broker"]["monitoring"]
    assert "exporter" in Settings.parse(raw).broker.listeners


def test_a_password_that_only_its_clients_know_is_no_login_for_it():
    raw = declared()
    raw["users"]["sensor"]["password"] = "adopted"
    with pytest.raises(SettingsError, match="has a password that only its clients know"):
        Settings.parse(raw)


def test_a_user_who_may_not_read_the_statistics_stops_the_preview():
    (error,) = errors_of(parse(read=["paragon/#"]), "test")
    assert error.startswith("sentient-mqtt:broker.monitoring.user: 'sensor': may not read $SYS/")
    assert 'read: ["$SYS/broker/#"]' in error
    assert errors_of(parse(), "test") == ()


class TestTheExporter:
    def test_it_dials_the_broker_by_its_name_or_on_the_hosts_own_network(self):
        assert dialled(parse().broker) == "tcp://mosquitto-test:1883"
        raw = declared()
        raw["broker"]["network"] = "host"
        assert dialled(Settings.parse(raw).broker) == "tcp://127.0.0.1:1883"

    def test_it_is_told_its_login_and_each_metric_once(self):
        told = json.loads(render_exporter(parse().broker, "sensor.b", "pass\"word'"))
        assert (told["mqtt"]["user"], told["mqtt"]["password"]) == ("sensor.b", "pass\"word'")
        assert told["mqtt"]["topic_path"] == "$SYS/broker/#"
        names = [each["prom_name"] for each in told["metrics"]]
        assert len(set(names)) == len(names) == len(METRICS)
        assert {each["const_labels"]["broker"] for each in told["metrics"]} == {"mosquitto-test"}

    def test_its_expressions_take_the_whole_topic_below_the_broker(self):
        told = json.loads(render_exporter(parse().broker, "sensor", "x"))["mqtt"]
        for expression, group in (
            (told["device_id_regex"], "deviceid"),
            (told["metric_per_topic_config"]["metric_name_regex"], "metricname"),
        ):
            found = re.fullmatch(expression, "$SYS/broker/retained messages/count")
            assert found[group] == "retained messages/count"
            assert re.fullmatch(expression, "paragon/$SYS/broker/x") is None

    def test_its_command_holds_no_secret_and_binds_what_docker_does_not(self):
        broker = parse().broker
        assert "0.0.0.0" in exporter_command(broker, broker.monitoring)
        raw = declared(bindAddress="::", allowFrom=["fd00::/64"])
        raw["broker"]["network"] = "host"
        broker = Settings.parse(raw).broker
        assert "[::]" in exporter_command(broker, broker.monitoring)


class TestItsPort:
    def test_the_firewall_keeps_it_as_it_keeps_a_listeners(self):
        broker = parse(**ELSEWHERE).broker
        assert list(gates(broker)) == ["mqtt", "exporter"]
        rules = "".join(rules_texts(broker, choose(broker, HostFacts(facts={}))).values())
        assert "ip daddr 192.168.2.3 tcp dport 9641 goto listener-exporter" in rules
        assert "ct original proto-dst 9641 goto listener-exporter" in rules
        assert "ip saddr { 192.168.2.5/32 } accept" in rules
        said = describe_firewall(broker, choose(broker, HostFacts(facts={})))
        assert said["listeners"]["exporter"]["allowFrom"] == ["192.168.2.5/32"]

    def test_bound_to_the_loopback_it_is_no_gate(self):
        broker = parse().broker
        assert list(gates(broker)) == ["mqtt"]
        rules = "".join(rules_texts(broker, choose(broker, HostFacts(facts={}))).values())
        assert "9641" not in rules

    def test_a_preview_sees_whether_it_is_taken(self):
        wanted = host_requirements(parse(), "test")
        assert wanted.ports["broker.monitoring.port"] == 9641
        assert wanted.exporter.startswith("ghcr.io/hikhvar/mqtt2prometheus:")
        assert wanted.exporter_stand_in == ""


class TestTheHost:
    def test_it_tells_what_is_declared_and_no_more(self):
        words = {
            each.words[0]: each.words[1:]
            for each in textfile_calls(parse().broker, "/x/y", "s", "image:1")
        }
        assert words["textfile"] == (
            "/x/y/sentient-mqtt-mosquitto-test.prom",
            "mosquitto-test",
            "image:1",
        )
        assert words["limits"] == ("1000", "100")
        assert "backups" not in words
        assert "certificate" not in words

    def test_with_backups_and_tls_it_tells_of_them(self):
        raw = stack_file("prod")
        raw["broker"]["listeners"]["mqtts"] = {
            "port": 8883,
            "allowFrom": ["192.168.0.0/16"],
            "tls": {},
        }
        raw["broker"]["listeners"]["mqtt"]["plain"] = True
        calls = [
            each.words
            for each in textfile_calls(Settings.parse(raw).broker, "/x/y", "s", "image:1")
        ]
        assert ("backups", "/opt/sentient/backups/mqtt", "86400", "mosquitto-shared") in calls
        assert (
            "certificate",
            "mqtts",
            "/opt/sentient/config/mosquitto-prod/tls/mqtts/pair.pem",
        ) in calls

    def test_its_clock_is_a_minute_and_what_it_wrote_goes_with_it(self):
        timer = textfile_timer(
            parse().broker, "/x/y", socket="s", image="image:1", script="#!/bin/sh\n"
        )
        assert "OnCalendar=*-*-* *:*:00" in timer.timer()
        assert timer.cron().splitlines()[1].startswith("* * * * * root sh ")
        written = [each.words[1] for each in timer.calls() if each.words[0] == "written"]
        assert "/x/y/sentient-mqtt-mosquitto-test.prom" in written


class TestWhatIsMadeOfIt:
    """An alert or a panel that asks for what nobody tells would be silent for ever."""

    @staticmethod
    def asked_for(expression):
        text = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
        return {
            each
            for each in re.findall(r"[a-z][a-z_:0-9]+", text)
            if "_" in each or ":" in each or each == "up"
        }

    def test_every_panel_asks_for_what_is_told(self):
        board = json.loads((ROOT / "monitoring" / "dashboard.json").read_text())
        assert len({each["title"] for each in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            assert panel["targets"], panel["title"]
            for target in panel["targets"]:
                asked = self.asked_for(target["expr"])
                assert asked, target
                assert asked <= TOLD, asked - TOLD

    def test_every_alert_asks_for_what_is_told(self):
        text = (ROOT / "monitoring" / "alerts.yml").read_text()
        names = set(re.findall(r"\b(?:mosquitto|sentient_mqtt|mqtt2prometheus)[_:][a-z_]+", text))
        assert names <= TOLD, names - TOLD

    def test_the_script_tells_what_it_is_said_to(self):
        script = host_scripts("commands/node_exporter_metrics.sh")
        told = {f"sentient_mqtt_{each}" for each in re.findall(r"\bmetric ([a-z_]+)", script)}
        assert told == set(OF_THE_HOST)

    def test_production_declares_it_for_the_user_whose_job_it_is(self):
        settings = settings_of("prod")
        assert settings.broker.monitoring.user == "sentient_monitor_prod"
        assert errors_of(settings, "prod") == ()
