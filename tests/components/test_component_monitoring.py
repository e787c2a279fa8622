"""The exporter gets its login from a file, is locked down, and is made anew with another login."""

import json

import pytest
from declared import smallest
from fake_engine import COMMAND, unwrap
from pulumi import Output

from broker.settings.stack_settings import Settings
from components import Monitoring

SECRET = "S3cret-of-the-exporter"


@pytest.fixture
def run_with(engine, here):
    def make(*, network="mosquitto-test", generation="1", **monitoring):
        raw = smallest(monitoring={"user": "sensor", **monitoring})
        broker = Settings.parse(raw).broker
        engine.start()
        engine.run(
            lambda: Monitoring(
                "monitoring",
                stack="test",
                broker=broker,
                declared=broker.monitoring,
                transport=here,
                image="image:1",
                exporter_image="exporter:1",
                network=network,
                login="sensor",
                generation=generation,
                password=Output.secret(SECRET),
            )
        )
        return engine

    return make


def test_its_login_is_in_a_file_and_nowhere_else(run_with):
    engine = run_with()
    files = engine.inputs_of("monitoring-files-mosquitto-test")
    assert SECRET in unwrap(files["stdin"])
    assert SECRET not in json.dumps(files["environment"])
    assert SECRET not in json.dumps(engine.inputs_of("monitoring-exporter"), default=str)


def test_a_preview_shows_what_it_is_told_and_not_the_password(run_with):
    shown = run_with().shown_of("monitoring-files-mosquitto-test")
    (text,) = shown.values()
    assert json.loads(text)["mqtt"]["user"] == "sensor"
    assert json.loads(text)["mqtt"]["password"] == "..."


def test_it_can_do_as_little_as_an_exporter_can_do_with(run_with):
    given = run_with().inputs_of("monitoring-exporter")
    assert given["name"] == "mosquitto-test-exporter"
    assert given["readOnly"] is True
    assert given["capabilities"] == {"drops": ["ALL"]}
    assert given["securityOpts"] == ["no-new-privileges:true"]
    assert given["user"] == "1883:1883"
    assert [each["readOnly"] for each in given["volumes"]] == [True]
    assert "envs" not in given


def test_it_is_on_the_brokers_network_and_its_port_on_one_address(run_with):
    given = run_with().inputs_of("monitoring-exporter")
    assert given["networksAdvanced"] == [{"name": "mosquitto-test"}]
    assert [(each["external"], each["ip"]) for each in given["ports"]] == [(9641, "127.0.0.1")]


def test_on_the_hosts_own_network_nothing_is_published(run_with):
    given = run_with(network=None).inputs_of("monitoring-exporter")
    assert given["networkMode"] == "host"
    assert "ports" not in given


def test_another_generation_is_another_container(run_with):
    def label():
        labels = engine.inputs_of("monitoring-exporter")["labels"]
        return next(each["value"] for each in labels if each["label"] == "sentient-mqtt.login")

    engine = run_with()
    before = label()
    engine = run_with(generation="2")
    assert label() != before


def test_the_hosts_figures_are_there_unless_nobody_wants_them(run_with):
    name = "monitoring-textfile-mosquitto-test"
    assert name in run_with().of_type(COMMAND)
    assert name not in run_with(textfile=None).of_type(COMMAND)
