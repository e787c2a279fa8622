"""The container is locked down, replaced by what only a start applies, and proven to answer."""

import pytest
from declared import settings_of
from fake_engine import COMMAND, unwrap

from broker.host.facts import HostFacts
from broker.host.layout import published_ports
from components import BrokerContainer
from components.container import _duration


@pytest.fixture
def run_with(engine, here):
    def make(broker, **other):
        engine.start()
        engine.run(
            lambda: BrokerContainer(
                "broker",
                stack="test",
                broker=broker,
                transport=here,
                image="image:1",
                image_id="sha256:1",
                digest="d1gest",
                published=published_ports(broker, HostFacts(facts={})),
                **other,
            )
        )
        return engine.inputs_of("broker")

    return make


@pytest.fixture
def given(run_with):
    return run_with(settings_of("prod").broker)


def test_it_can_do_as_little_as_a_broker_can_do_with(given):
    assert given["readOnly"] is True
    assert given["capabilities"] == {"drops": ["ALL"]}
    assert given["securityOpts"] == ["no-new-privileges:true"]
    assert given["user"] == "1883:1883"
    assert "privileged" not in given
    assert given["memory"] == given["memorySwap"] == 2048
    assert given["networkMode"] == "bridge"
    assert given["networksAdvanced"] == [{"name": "mosquitto-shared"}]
    assert not any("docker.sock" in each["hostPath"] for each in given["volumes"])


def test_it_runs_our_configuration_and_never_the_images_own(given):
    assert given["command"] == ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
    assert given["image"] == "sha256:1"
    assert given["name"] == "mosquitto-shared"


def test_it_sees_the_seeds_folders_and_can_not_write_to_its_configuration(given):
    assert [
        (each["hostPath"], each["containerPath"], each.get("readOnly", False))
        for each in given["volumes"]
    ] == [
        ("/opt/sentient/config/mosquitto-prod", "/mosquitto/config", True),
        ("/opt/sentient/volumes/mosquitto-data-shared", "/mosquitto/data", False),
        ("/opt/sentient/volumes/mosquitto-logs-shared", "/mosquitto/log", False),
    ]


def test_each_port_is_published_on_an_explicit_address(given):
    assert [(each["external"], each["internal"], each["ip"]) for each in given["ports"]] == [
        (1883, 1883, "0.0.0.0"),
        (9001, 9001, "0.0.0.0"),
    ]


def test_it_has_a_descriptor_for_every_client(given):
    (limit,) = given["ulimits"]

    assert limit["name"] == "nofile"
    assert limit["soft"] == limit["hard"] >= 10_000


def test_it_is_given_time_to_save_its_database_from_the_first_up(given):
    assert given["stopSignal"] == "SIGTERM"
    assert given["destroyGraceSeconds"] == given["stopTimeout"] == 30
    assert given["restart"] == "unless-stopped"


def test_its_log_does_not_fill_the_disk(given):
    assert given["logDriver"] == "json-file"
    assert given["logOpts"] == {"max-size": "10m", "max-file": "5"}


def test_its_health_is_a_login_whose_password_nobody_can_inspect(given):
    assert given["healthcheck"]["tests"][:2] == ["CMD", "mosquitto_sub"]
    assert not {"-P", "-u"} & set(given["healthcheck"]["tests"])
    assert given["envs"] == ["XDG_CONFIG_HOME=/mosquitto/config/health"]
    assert given["healthcheck"]["interval"] == "30s"


def test_what_the_provider_would_update_without_doing_it_replaces(engine, given):
    options = engine.options["broker"]

    assert {"healthcheck", "tmpfs", "init", "mounts"} <= set(options.replace_on_changes)
    # Two containers can't have one name and one port.
    assert options.delete_before_replace is True
    assert "mounts" not in given


def labels(given):
    return {each["label"]: each["value"] for each in given["labels"]}


def test_it_is_labelled_with_the_stack_that_made_it(given):
    assert labels(given)["sentient-mqtt.stack"] == "test"


def test_another_digest_of_what_a_start_needs_is_another_container(given):
    assert labels(given)["sentient-mqtt.configuration"] == "d1gest"


def test_it_is_labelled_with_the_port_on_which_it_is_asked(given):
    assert labels(given)["sentient-mqtt.reserved"] == "11883"
    assert labels(given)["sentient-mqtt.ports"] == "1883 9001"


def test_one_that_is_kept_without_the_reserved_listener_has_the_labels_that_it_had(run_with):
    kept = labels(run_with(settings_of("prod").broker, reserved=False))

    assert "sentient-mqtt.reserved" not in kept
    assert kept["sentient-mqtt.ports"] == "1883 9001"


def test_its_database_is_safe_before_it_goes(engine, given):
    (before,) = engine.options["broker"].depends_on
    assert before._name == "broker-guard"
    stdin = unwrap(engine.inputs_of("broker-guard")["stdin"])
    assert "\nguard d1gest no\nfinish\n" in stdin
    assert engine.shown_of("broker-guard") == {
        "start": "d1gest",
        "image": "sha256:1",
    }


def test_it_is_up_when_its_health_user_was_let_in(engine, given):
    assert list(engine.of_type(COMMAND)) == ["broker-guard", "broker-ready"]
    (before,) = engine.options["broker-ready"].depends_on
    assert before._name == "broker"
    stdin = unwrap(engine.inputs_of("broker-ready")["stdin"])
    assert "\nbroker 127.0.0.1 1883 60 64\nfinish\n" in stdin
    # Asked again whenever the container is another one.
    assert engine.shown_of("broker-ready") == {"container": "broker-id"}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(1, "1s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s")],
)
def test_durations_are_written_as_docker_gives_them_back(seconds, written):
    assert _duration(seconds) == written
