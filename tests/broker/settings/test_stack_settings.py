"""The two stack files say the seed's site; any other slip is one line that says how to mend it."""

import copy

import pytest
from declared import smallest, stack_file
from pydantic import ValidationError

from broker.settings.base_model import SettingsModel
from broker.settings.stack_settings import Settings, SettingsError


def test_prod_is_the_seeds_site():
    broker = Settings.parse(stack_file("prod")).broker

    assert broker.container == "mosquitto-shared"
    assert broker.address == "192.168.2.3"
    assert {name: (each.port, each.protocol) for name, each in broker.listeners.items()} == {
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
    assert [(each.path, each.user) for each in broker.env_files] == [
        ("/opt/sentient/.env.production", "sentient_api_prod")
    ]


def test_prod_has_the_seeds_tuning_and_descriptors_to_match():
    broker = Settings.parse(stack_file("prod")).broker

    assert broker.limits.max_connections == 10_000
    assert broker.limits.max_queued_messages == 10_000
    assert broker.limits.max_packet_size == 268_435_456
    assert broker.limits.max_inflight_messages == 100
    assert broker.persistence.autosave_interval == 300
    assert broker.limits.descriptors >= 10_000 + 100


def test_prod_has_the_seeds_users_in_its_order_and_each_their_rules():
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


def test_dev_is_a_broker_that_only_this_machine_reaches():
    broker = Settings.parse(stack_file("dev")).broker

    assert {str(each.bound) for each in broker.listeners.values()} == {"127.0.0.1"}
    assert broker.address == "127.0.0.1"
    # Their paths would be a developer's production.
    assert not any(folder.startswith("/opt") for folder in broker.folders.model_dump().values())


def test_what_was_read_is_frozen():
    settings = Settings.parse(smallest())

    with pytest.raises(ValidationError, match="frozen"):
        settings.broker.container = "another"


def test_the_smallest_stack_file_is_enough():
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
def test_a_generation_is_a_number_or_a_word(written, path):
    raw = smallest()
    raw["fleets"] = {"controller": {"names": ["ctl1"], "write": ["state/%u"]}}
    part = raw
    for key in path:
        part = part.setdefault(key, {})
    part["generation"] = written

    found = Settings.parse(raw).model_dump()
    for key in path:
        found = found[key]
    assert found["generation"] == str(written)


def test_every_generation_of_a_stack_file_is_held_to_that():
    def parts(model):
        yield model
        for part in model.__subclasses__():
            yield from parts(part)

    assert sum("generation" in part.model_fields for part in parts(SettingsModel)) == len(
        GENERATIONS
    )


def test_both_ip_versions_are_networks():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"] |= {
        "bindAddress": "::",
        "allowFrom": ["192.168.0.0/16", "fd00::/8", "10.0.0.9/32"],
    }

    (listener,) = Settings.parse(raw).broker.listeners.values()

    assert [str(each) for each in listener.allow_from] == raw["broker"]["listeners"]["mqtt"][
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
def test_an_image_with_tag_or_digest_is_taken(image):
    assert Settings.parse(smallest(image=image)).broker.image == image


@pytest.mark.parametrize("address", ["192.168.2.3", "fd00::5", "broker", "broker.example.org"])
def test_an_address_is_what_clients_can_dial(address):
    assert Settings.parse(smallest(address=address)).broker.address == address


def test_every_slip_of_one_file_is_told_at_once():
    raw = smallest(container="-", image="eclipse-mosquitto")
    raw["users"]["sensor"]["write"] = ["a+"]

    assert len(told(raw)) == 3


def test_the_same_slip_is_told_once():
    raw = smallest()
    raw["broker"]["listeners"]["mqtt"]["allowFrom"] = ["everyone"]

    assert len(told(raw)) == 1


def test_no_pydantic_reaches_the_person():
    raw = smallest(restart="never", limits={"maxConnections": "many"}, envFiles="x")
    raw["users"]["sensor"] = None

    for line in told(raw):
        assert "pydantic" not in line
        assert "Input should" not in line
        assert "instance of" not in line


def test_a_refused_file_is_not_changed_by_being_read():
    raw = stack_file("prod")
    before = copy.deepcopy(raw)

    Settings.parse(raw)

    assert raw == before


def told(raw):
    with pytest.raises(SettingsError) as wrong:
        Settings.parse(raw)
    return str(wrong.value).splitlines()


def test_a_page_shows_every_setting():
    """`make docs` writes it; a setting that is not there is one that nobody finds."""
    from cli.development.settings_reference import PAGE, with_table  # noqa: PLC0415 (the one test that reads a file)

    page = PAGE.read_text(encoding="utf-8")

    assert with_table(page) == page


@pytest.mark.parametrize(
    "folder", ["/etc/sentient-mqtt/data", "/srv/mqtt", "/home/user/mqtt", "/var/lib/mqtt", "/mnt/a"]
)
def test_a_folder_of_the_brokers_own_is_taken(folder):
    raw = smallest()
    raw["broker"]["folders"]["data"] = folder
    raw["broker"]["folders"] |= {"config": "/opt/a/config", "log": "/opt/a/log"}

    assert Settings.parse(raw).broker.folders.data == folder
