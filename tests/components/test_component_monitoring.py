"""The exporter reads its login from a file, is restricted, and is replaced if its login changes."""

import json

import pytest
from declared import smallest
from fake_engine import COMMAND, unwrap
from pulumi import Output

from broker.settings.stack_settings import Settings
from components import Monitoring

SECRET = "S3cret-of-the-exporter"


@pytest.fixture
def run_with(engine, here, record):
    def run(*, network="mosquitto-test", generation="1", **monitoring):
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
                image_name="image:1",
                exporter_image="exporter:1",
                network=network,
                login="sensor",
                generation=generation,
                password=Output.secret(SECRET),
                record=record,
            )
        )
        return engine

    return run


def test_its_password_is_on_stdin_only(run_with):
    engine = run_with()
    files = engine.inputs_of("monitoring-files-mosquitto-test")
    assert SECRET in unwrap(files["stdin"])
    assert SECRET not in json.dumps(files["environment"])
    assert SECRET not in json.dumps(engine.inputs_of("monitoring-exporter"), default=str)


def test_a_preview_shows_its_configuration_without_the_password(run_with):
    shown = run_with().shown_of("monitoring-files-mosquitto-test")
    revision = shown.pop("revision")
    (text,) = shown.values()
    assert revision == "3"
    assert json.loads(text)["mqtt"]["user"] == "sensor"
    assert json.loads(text)["mqtt"]["password"] == "..."


def test_it_has_minimal_privileges(run_with):
    inputs = run_with().inputs_of("monitoring-exporter")
    assert inputs["name"] == "mosquitto-test-exporter"
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["user"] == "1883:1883"
    assert [volume["readOnly"] for volume in inputs["volumes"]] == [True]
    assert "envs" not in inputs


def test_it_is_on_the_brokers_network_and_published_on_one_address(run_with):
    inputs = run_with().inputs_of("monitoring-exporter")
    assert inputs["networksAdvanced"] == [{"name": "mosquitto-test"}]
    assert [(port["external"], port["ip"]) for port in inputs["ports"]] == [(9641, "127.0.0.1")]


def test_on_the_hosts_network_no_port_is_published(run_with):
    inputs = run_with(network=None).inputs_of("monitoring-exporter")
    assert inputs["networkMode"] == "host"
    assert "ports" not in inputs


def test_a_new_generation_changes_the_label_that_replaces_the_container(run_with):
    def login_label(engine):
        labels = engine.inputs_of("monitoring-exporter")["labels"]
        return next(label["value"] for label in labels if label["label"] == "sentient-mqtt.login")

    assert login_label(run_with()) != login_label(run_with(generation="2"))


def test_the_metrics_of_the_host_are_written_unless_textfile_is_null(run_with):
    name = "monitoring-textfile-mosquitto-test"
    assert name in run_with().of_type(COMMAND)
    assert name not in run_with(textfile=None).of_type(COMMAND)
