"""The two stack files, defaults, and errors of settings that depend on each other."""

import copy

import pytest
from declared import smallest, stack_file
from pydantic import ValidationError

from broker.settings.base_model import SettingsModel
from broker.settings.stack_settings import Settings, SettingsError


def test_prod_has_the_original_container_listeners_and_folders():
    broker = Settings.parse(stack_file("prod")).broker

    assert broker.container == "mosquitto-shared"
    assert broker.address == "192.168.2.3"
    assert {
        name: (listener.port, listener.protocol) for name, listener in broker.listeners.items()
    } == {
        "mqtt": (1883, "mqtt"),
        "websocket": (9001, "websockets"),
    }
    assert broker.folders.config == "/opt/sentient/config/mosquitto-prod"
    assert broker.folders.data == "/opt/sentient/volumes/mosquitto-data-shared"
    assert broker.folders.log == "/opt/sentient/volumes/mosquitto-logs-shared"
    assert broker.files.model_dump() == {
        "conf": "mosquitto.conf",
        "passwords": "mosquitto_passwd",
        "acl": "mosquitto.acl",
    }
    assert (broker.owner.uid, broker.owner.gid) == (1883, 1883)
    assert [(file.path, file.user) for file in broker.env_files] == [
        ("/opt/sentient/.env.production", "sentient_api_prod")
    ]


def test_prod_has_the_original_limits_and_enough_descriptors():
    broker = Settings.parse(stack_file("prod")).broker

    assert broker.limits.max_connections == 10_000
    assert broker.limits.max_queued_messages == 10_000
    assert broker.limits.max_packet_size == 268_435_456
    assert broker.limits.max_inflight_messages == 100
    assert broker.persistence.autosave_interval == 300
    assert broker.limits.descriptors >= 10_000 + 100


def test_prod_has_the_original_users_and_rules_in_order():
    users = Settings.parse(stack_file("prod")).users

    assert {
        name: (user.readwrite, user.read, user.write, user.deny) for name, user in users.items()
    } == {
        "admin": (("#",), (), (), ()),
        "sentient_api_prod": (("paragon/#",), (), (), ()),
        "sentient_executor_prod": (("paragon/#",), (), (), ()),
        "sentient_monitor_prod": (("paragon/#",), ("$SYS/#",), (), ()),
        "paragon_devices": (
            (),
            ("paragon/+/commands/#",),
            ("paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#"),
            (),
        ),
    }
    assert next(iter(users)) == "admin"
    assert list(users)[-1] == "paragon_devices"


def test_dev_listens_on_the_loopback_only():
    broker = Settings.parse(stack_file("dev")).broker

    assert {str(listener.bound) for listener in broker.listeners.values()} == {"127.0.0.1"}
    assert broker.address == "127.0.0.1"
    # On a developer's machine these paths may belong to a production broker.
    assert not any(folder.startswith("/opt") for folder in broker.folders.model_dump().values())


def test_settings_are_frozen():
    settings = Settings.parse(smallest())

    with pytest.raises(ValidationError, match="frozen"):
        settings.broker.container = "another"


def test_smallest_stack_file_gets_the_defaults():
    broker = Settings.parse(smallest()).broker

    assert broker.host == "unix:///var/run/docker.sock"
    assert broker.image.partition(":")[2]
    assert broker.passwords.length == 32
    assert not broker.passwords.special
    assert broker.passwords.iterations == 101
    assert not broker.allow_stand_in


GENERATIONS = [
    ("users", "sensor"),
    ("broker", "health"),
    ("fleets", "controller"),
    ("fleets", "controller", "overrides", "ctl1"),
]


@pytest.mark.parametrize("path", GENERATIONS, ids=".".join)
@pytest.mark.parametrize("written", [2, "2", "2026-11"])
def test_generation_may_be_a_number_or_text(written, path):
    raw = smallest()
    raw["fleets"] = {"controller": {"names": ["ctl1"], "write": ["state/%u"]}}
    mapping = raw
    for key in path:
        mapping = mapping.setdefault(key, {})
    mapping["generation"] = written

    parsed = Settings.parse(raw).model_dump()
    for key in path:
        parsed = parsed[key]
    assert parsed["generation"] == str(written)


def test_every_generation_setting_is_tested():
    def models(model):
        yield model
        for subclass in model.__subclasses__():
            yield from models(subclass)

    assert sum("generation" in model.model_fields for model in models(SettingsModel)) == len(
        GENERATIONS
    )


def test_allow_from_takes_networks_of_both_ip_versions():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"] |= {
        "bindAddress": "::",
        "allowFrom": ["192.168.0.0/16", "fd00::/8", "10.0.0.9/32"],
    }

    (listener,) = Settings.parse(raw).broker.listeners.values()

    assert [str(network) for network in listener.allow_from] == raw["broker"]["listeners"]["mqtt"][
        "allowFrom"
    ]


@pytest.mark.parametrize(
    "image",
    [
        "eclipse-mosquitto:2.0.22",
        "registry.example.org:5000/iot/mosquitto:2.0.22-Alpine",
        "eclipse-mosquitto@sha256:" + "0" * 64,
        "eclipse-mosquitto:2.0.22@sha256:" + "f" * 64,
    ],
)
def test_image_with_tag_or_digest_is_accepted(image):
    assert Settings.parse(smallest(image=image)).broker.image == image


@pytest.mark.parametrize("address", ["192.168.2.3", "fd00::5", "broker", "broker.example.org"])
def test_address_may_be_an_ip_address_or_a_host_name(address):
    assert Settings.parse(smallest(address=address)).broker.address == address


def test_all_errors_of_a_file_are_reported_at_once():
    raw = smallest(container="-", image="eclipse-mosquitto")
    raw["users"]["sensor"]["write"] = ["a+"]

    assert len(error_lines(raw)) == 3


def test_an_error_is_reported_once():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"]["allowFrom"] = ["everyone"]

    assert len(error_lines(raw)) == 1


def test_error_messages_contain_no_wording_of_pydantic():
    raw = smallest(restart="never", limits={"maxConnections": "many"}, envFiles="x")
    raw["users"]["sensor"] = None

    for line in error_lines(raw):
        assert "pydantic" not in line
        assert "Input should" not in line
        assert "instance of" not in line


def test_parsing_does_not_change_its_input():
    raw = stack_file("prod")
    before = copy.deepcopy(raw)

    Settings.parse(raw)

    assert raw == before


def error_lines(raw):
    with pytest.raises(SettingsError) as raised:
        Settings.parse(raw)
    return str(raised.value).splitlines()


def test_settings_page_is_up_to_date():
    from cli.development.settings_reference import PAGE, with_table  # noqa: PLC0415 (used by this test only)

    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page) == page


@pytest.mark.parametrize(
    "folder", ["/etc/sentient-mqtt/data", "/srv/mqtt", "/home/user/mqtt", "/var/lib/mqtt", "/mnt/a"]
)
def test_folder_outside_system_folders_is_accepted(folder):
    raw = smallest()
    raw["broker"]["folders"]["data"] = folder
    raw["broker"]["folders"] |= {"config": "/opt/a/config", "log": "/opt/a/log"}

    assert Settings.parse(raw).broker.folders.data == folder
