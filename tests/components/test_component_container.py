"""The container is restricted, replaced if a change needs a start, and verified."""

import asyncio

import pytest
from declared import settings_of, smallest
from fake_engine import COMMAND, unwrap
from pulumi import ErrorHookArgs

from broker.host.facts import HostFacts
from broker.host.layout import published_ports, rehearsal_options
from broker.host.transport import Transport
from broker.settings.stack_settings import Settings
from components import BrokerContainer
from components.container import _duration
from components.creation_hooks import NotFreedError

SOCKET = "unix:///var/run/docker.sock"


@pytest.fixture
def run_with(engine, here, record):
    def make(broker, transport=None, **other):
        engine.start()
        engine.run(
            lambda: BrokerContainer(
                "broker",
                stack="test",
                broker=broker,
                transport=transport or here,
                image="image:1",
                image_name="image:1",
                image_id="sha256:1",
                digest="d1gest",
                record=record("container"),
                published=published_ports(broker, HostFacts(facts={})),
                **other,
            )
        )
        return engine.inputs_of("broker")

    return make


@pytest.fixture
def inputs(run_with):
    return run_with(settings_of("prod").broker)


def test_it_has_minimal_privileges(inputs):
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["user"] == "1883:1883"
    assert "privileged" not in inputs
    assert inputs["memory"] == inputs["memorySwap"] == 2048
    assert inputs["networkMode"] == "bridge"
    assert inputs["networksAdvanced"] == [{"name": "mosquitto-shared"}]
    assert not any("docker.sock" in volume["hostPath"] for volume in inputs["volumes"])


def test_it_declares_no_swap_limit_where_the_host_has_none(run_with):
    """Docker stores -1 there; another value would be a change at every `up`."""
    inputs = run_with(settings_of("prod").broker, swap_limited=False)

    assert (inputs["memory"], inputs["memorySwap"]) == (2048, -1)


def test_it_runs_the_deployed_configuration_and_not_that_of_the_image(inputs):
    assert inputs["command"] == ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
    assert inputs["image"] == "sha256:1"
    assert inputs["name"] == "mosquitto-shared"


def test_it_mounts_the_configured_folders_and_its_configuration_is_read_only(inputs):
    assert [
        (volume["hostPath"], volume["containerPath"], volume.get("readOnly", False))
        for volume in inputs["volumes"]
    ] == [
        ("/opt/sentient/config/mosquitto-prod", "/mosquitto/config", True),
        ("/opt/sentient/volumes/mosquitto-data-shared", "/mosquitto/data", False),
        ("/opt/sentient/volumes/mosquitto-logs-shared", "/mosquitto/log", False),
    ]


def test_each_port_is_published_on_an_explicit_address(inputs):
    assert [(port["external"], port["internal"], port["ip"]) for port in inputs["ports"]] == [
        (1883, 1883, "0.0.0.0"),
        (9001, 9001, "0.0.0.0"),
    ]


def test_its_limit_of_file_descriptors_covers_every_client(inputs):
    (limit,) = inputs["ulimits"]

    assert limit["name"] == "nofile"
    assert limit["soft"] == limit["hard"] >= 10_000


def test_it_has_time_to_save_its_database_when_it_stops(inputs):
    assert inputs["stopSignal"] == "SIGTERM"
    assert inputs["destroyGraceSeconds"] == inputs["stopTimeout"] == 30
    assert inputs["restart"] == "unless-stopped"


def test_its_docker_log_is_limited(inputs):
    assert inputs["logDriver"] == "json-file"
    assert inputs["logOpts"] == {"max-size": "10m", "max-file": "5"}


def test_its_health_check_logs_in_without_a_password_in_its_arguments(inputs):
    assert inputs["healthcheck"]["tests"][:2] == ["CMD", "mosquitto_sub"]
    assert not {"-P", "-u"} & set(inputs["healthcheck"]["tests"])
    assert inputs["envs"] == ["XDG_CONFIG_HOME=/mosquitto/config/health"]
    assert inputs["healthcheck"]["interval"] == "30s"


def test_properties_that_the_provider_cannot_update_replace_the_container(engine, inputs):
    options = engine.options["broker"]

    assert {"healthcheck", "tmpfs", "init", "mounts"} <= set(options.replace_on_changes)
    # Two containers cannot have the same name and port.
    assert options.delete_before_replace is True
    assert "mounts" not in inputs


def labels(inputs):
    return {label["label"]: label["value"] for label in inputs["labels"]}


def test_it_is_labelled_with_its_stack(inputs):
    assert labels(inputs)["sentient-mqtt.stack"] == "test"


def test_it_is_labelled_with_the_start_digest(inputs):
    assert labels(inputs)["sentient-mqtt.configuration"] == "d1gest"


def test_it_is_labelled_with_its_reserved_port_and_its_ports(inputs):
    assert labels(inputs)["sentient-mqtt.reserved"] == "11883"
    assert labels(inputs)["sentient-mqtt.ports"] == "1883 9001"


def test_a_container_without_the_reserved_listener_keeps_its_labels(run_with):
    unchanged = labels(run_with(settings_of("prod").broker, reserved=False))

    assert "sentient-mqtt.reserved" not in unchanged
    assert unchanged["sentient-mqtt.ports"] == "1883 9001"


def test_the_guard_runs_before_the_container_is_replaced(engine, inputs):
    (dependency,) = engine.options["broker"].depends_on
    assert dependency._name == "broker-guard"
    stdin = unwrap(engine.inputs_of("broker-guard")["stdin"])
    conf = "/opt/sentient/config/mosquitto-prod/mosquitto.conf"
    calls = f"guard d1gest no\nformer unless-stopped {conf}\nrehearse_start mosquitto-shared --user"
    assert f"\n{calls}" in stdin
    assert engine.shown_of("broker-guard") == {
        "start": "d1gest",
        "image": "sha256:1",
    }


def test_it_is_ready_when_its_health_user_can_log_in(engine, inputs):
    assert list(engine.of_type(COMMAND)) == ["broker-guard", "broker-ready"]
    (dependency,) = engine.options["broker-ready"].depends_on
    assert dependency._name == "broker"
    stdin = unwrap(engine.inputs_of("broker-ready")["stdin"])
    assert "\nbroker 127.0.0.1 1883 60 64\nfinish\n" in stdin
    # Runs again when the container is replaced.
    assert engine.shown_of("broker-ready") == {"container": "broker-id", "revision": "3"}


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(1, "1s"), (59, "59s"), (60, "1m0s"), (90, "1m30s"), (3600, "1h0m0s"), (3661, "1h1m1s")],
)
def test_durations_are_formatted_as_docker_returns_them(seconds, duration):
    assert _duration(seconds) == duration


@pytest.mark.parametrize(
    ("resource", "call"),
    [
        ("broker", "take_over test /opt/sentient/config/mosquitto-prod 30"),
        ("broker-network", "orphan_network unix:///var/run/docker.sock mosquitto-shared"),
    ],
)
def test_what_an_interrupted_run_left_is_taken_over_before_the_creation(
    run_with, engine, tmp_path, resource, call
):
    stdin = tmp_path / "stdin"
    host = Transport(host=SOCKET, interpreter=("/bin/sh", "-c", f"cat >'{stdin}'"))
    run_with(settings_of("prod").broker, transport=host)

    run_hook(engine, resource)

    assert f"\n{call}" in stdin.read_text()
    assert stdin.read_text().endswith("\nfinish\n")


def test_a_container_that_cannot_be_taken_over_is_not_created(run_with, engine):
    fails = ("/bin/sh", "-c", "cat >/dev/null; echo why >&2; exit 1")
    host = Transport(host=SOCKET, interpreter=fails)
    run_with(settings_of("prod").broker, transport=host)

    with pytest.raises(NotFreedError, match=r"^why$"):
        run_hook(engine, "broker")


def run_hook(engine, resource):
    (hook,) = engine.options[resource].hooks.before_create
    # Not asyncio.run(), which takes the event loop away from Pulumi.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(hook(None))
    loop.close()


@pytest.mark.parametrize("network", ["published", "host"])
def test_the_rehearsed_options_are_those_of_the_container(run_with, network):
    raw = smallest()
    raw["broker"] |= {"network": network, "logging": {"maxSize": "7m", "maxFiles": 3}}
    broker = Settings.parse(raw).broker

    inputs = run_with(broker)

    (capabilities,) = inputs["capabilities"]["drops"]
    (limit,) = inputs["ulimits"]
    options = [
        f"--user={inputs['user']}",
        *(["--read-only"] if inputs["readOnly"] else []),
        *(["--init"] if inputs["init"] else []),
        f"--cap-drop={capabilities}",
        *(f"--security-opt={option}" for option in inputs["securityOpts"]),
        *(f"--env={variable}" for variable in inputs["envs"]),
        # Read-only, all of them.
        *(f"--volume={one['hostPath']}:{one['containerPath']}:ro" for one in inputs["volumes"]),
        f"--ulimit={limit['name']}={limit['soft']:.0f}:{limit['hard']:.0f}",
        f"--memory={inputs['memory']:.0f}m",
        f"--memory-swap={inputs['memorySwap']:.0f}m",
        f"--stop-signal={inputs['stopSignal']}",
        f"--stop-timeout={inputs['stopTimeout']:.0f}",
        f"--log-driver={inputs['logDriver']}",
        *(f"--log-opt={name}={value}" for name, value in inputs["logOpts"].items()),
    ]
    assert sorted(rehearsal_options(broker)) == sorted(options)
    rehearsed = {"networkMode", "networksAdvanced", "command"}
    told = {"ports", "name", "labels", "healthcheck", "restart", "mustRun", "destroyGraceSeconds"}
    named = {"user", "readOnly", "init", "capabilities", "securityOpts", "envs", "volumes"}
    named |= {"ulimits", "memory", "memorySwap", "stopSignal", "stopTimeout", "logDriver"}
    named |= {"logOpts", "image"}
    assert set(inputs) <= rehearsed | told | named, "an option that no rehearsal tries"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "the former one runs again"),
        (1, "The former container mosquitto-shared could not be started"),
        (3, ""),
    ],
)
def test_the_former_container_comes_back_if_the_new_one_cannot_be_created(
    run_with, engine, monkeypatch, code, said
):
    warnings = []
    monkeypatch.setattr("pulumi.log.warn", warnings.append)
    # A script that is not the one that starts the former container ends with 9.
    checks = f"grep -q '^former unless-stopped /opt/' || exit 9; exit {code}"
    host = Transport(host=SOCKET, interpreter=("/bin/sh", "-c", checks))
    run_with(settings_of("prod").broker, transport=host)
    (hook,) = engine.options["broker"].hooks.on_error
    failed = ErrorHookArgs(urn="", id="", name="broker", type="", failed_operation="create")

    loop = asyncio.new_event_loop()
    again = loop.run_until_complete(hook(failed))
    loop.close()

    assert again is False, "Pulumi would create the new container once more"
    assert [said in warning for warning in warnings] == [True] * bool(said)


def test_a_container_and_network_changed_by_hand_get_another_label(run_with, engine):
    unchanged = run_with(settings_of("prod").broker)
    assert not engine.inputs_of("broker-network").get("labels")
    assert "revision" not in engine.shown_of("broker-guard")

    changed = run_with(settings_of("prod").broker, label="3", network_label="2")

    assert labels(changed) == {**labels(unchanged), "sentient-mqtt.revision": "3"}
    # The guard prepares this replacement, too, and comes before that of the network.
    assert engine.shown_of("broker-guard")["revision"] == "3"
    network = engine.inputs_of("broker-network")
    assert network["labels"] == [{"label": "sentient-mqtt.revision", "value": "2"}]
    (guard,) = engine.options["broker-network"].depends_on
    assert guard._name == "broker-guard"
