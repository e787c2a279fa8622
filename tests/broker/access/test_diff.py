"""A change of a stack file is told by what it lets through, not by its text."""

import copy
from pathlib import Path

import pytest
from declared import smallest

from broker.access.diff import diff
from broker.access.diff_report import as_data, as_markdown
from broker.settings.stack_settings import Settings
from cli.stack import Stack

PROD = Path(__file__).resolve().parents[3] / "Pulumi.prod.yaml"
TEXT = PROD.read_text(encoding="utf-8")


def settings(*changes):
    text = copy.copy(TEXT)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return Stack.parse("prod", PROD, text).settings


def after(*changes):
    return diff("prod", settings(), settings(*changes))


DEVICES_WRITE = 'write: ["paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#"]'


def test_nothing_changed_is_nothing_to_tell():
    found = after()

    assert (found.users, found.effect, found.rotated) == ((), "none", ())


@pytest.mark.parametrize(
    ("new", "change"),
    [
        ('write: ["paragon/+/sensors/#", "paragon/+/status/#"]', "narrowed"),
        ('write: ["paragon/+/#"]', "widened"),
        ('write: ["paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/news/#"]', "changed"),
        (
            'write: ["paragon/+/sensors/#", "paragon/+/sensors/door", "paragon/+/status/#", '
            '"paragon/+/events/#"]',
            "equivalent",
        ),
    ],
)
def test_a_user_is_wider_narrower_both_or_neither(new, change):
    (devices,) = after((DEVICES_WRITE, new)).users

    assert (devices.name, devices.change) == ("paragon_devices", change)
    assert (devices.may_now_write is not None) == (change in ("widened", "changed"))
    assert (devices.no_longer_writes is not None) == (change in ("narrowed", "changed"))
    assert devices.may_now_read is None
    assert devices.no_longer_reads is None


def test_a_denial_narrows_and_its_removal_widens():
    denied = settings((DEVICES_WRITE, f'{DEVICES_WRITE}\n      deny: ["paragon/+/status/x"]'))

    assert diff("prod", settings(), denied).users[0].no_longer_writes == "paragon/anything/status/x"
    assert diff("prod", denied, settings()).users[0].may_now_write == "paragon/anything/status/x"


def test_a_pattern_is_everybodys_and_so_everybody_changed():
    found = after(
        (
            "  sentient-mqtt:topics:",
            '  sentient-mqtt:patterns: {read: ["inbox/%u"]}\n  sentient-mqtt:topics:',
        )
    )

    changed = {each.name: each.may_now_read for each in found.users}
    assert changed["paragon_devices"] == "inbox/paragon_devices"
    # Whoever may read '#' gains nothing by it.
    assert changed["admin"] is None


def test_who_comes_and_who_goes():
    block = TEXT[
        TEXT.index("    sentient_executor_prod:") : TEXT.index("    sentient_monitor_prod:")
    ]

    gone = after((block, "")).users
    come = diff("prod", settings((block, "")), settings()).users

    assert [(each.name, each.change) for each in gone] == [("sentient_executor_prod", "removed")]
    assert [(each.name, each.change) for each in come] == [("sentient_executor_prod", "added")]


def test_another_order_gives_nobody_anything_but_reloads():
    block = TEXT[
        TEXT.index("    sentient_executor_prod:") : TEXT.index("    sentient_monitor_prod:")
    ]

    found = after((block, ""), ("    admin:\n", f"{block}    admin:\n"))

    assert found.users == ()
    assert found.effect == "reload"


@pytest.mark.parametrize(
    ("change", "effect", "because"),
    [
        (
            ("maxInflightMessages: 100", "maxInflightMessages: 50"),
            "replace",
            ("broker.limits.maxInflightMessages",),
        ),
        (("port: 9001", "port: 9002"), "replace", ("broker.listeners.websocket.port",)),
        (("2.0.22", "2.1.2"), "replace", ("broker.image",)),
        (("192.168.2.3\n", "broker.example\n"), "none", ()),
        (("allowFrom: [192.168.0.0/16, 172.16.0.0/12]", "allowFrom: [192.168.3.0/24]"), "none", ()),
        (("      device: true\n", "      generation: 7\n"), "reload", ()),
    ],
)
def test_what_the_broker_does(change, effect, because):
    found = after(change)

    assert (found.effect, found.because) == (effect, because)


NOT_OF_A_CONTAINER = {
    "address": "other.example.org",
    "become": "docker",
    "restart": "always",
    "checkAfterUp": True,
    "allowStandIn": True,
    "sshConfig": "/etc/ssh/other",
    "passwords": {"length": 40, "maxAgeDays": 90},
    "files": {"acl": "other.acl"},
    "firewall": {"backend": "nftables"},
    "backups": {"folder": "/srv/backups"},
    "monitoring": {"user": "sensor"},
    "envFiles": [{"path": "/srv/app/.env", "user": "sensor"}],
    "health": {"user": "watcher", "generation": 2},
    "limits": {"memory": 512},
    "logging": {"types": ["error"], "keep": 3, "refusedPerHour": 7, "deniedPerHour": 7},
    "persistence": {"autosaveInterval": 7, "oneWay": True},
}
OF_A_CONTAINER = {
    "image": ("eclipse-mosquitto:2.1.2", "broker.image"),
    "owner": ({"uid": 2000}, "broker.owner.uid"),
    "folders": (
        smallest()["broker"]["folders"] | {"log": "/srv/mqtt/logs"},
        "broker.folders.log",
    ),
    "network": ("host", "broker.network"),
    "stopGrace": (60, "broker.stopGrace"),
    "limits": ({"maxInflightMessages": 7, "memory": 512}, "broker.limits.maxInflightMessages"),
    "logging": ({"file": "m.log", "maxFiles": 2, "keep": 3}, "broker.logging.maxFiles"),
    "health": ({"interval": 7, "generation": 2}, "broker.health.interval"),
}


@pytest.mark.parametrize("setting", OF_A_CONTAINER)
def test_only_what_replaces_the_container_is_its_cause(setting):
    value, path = OF_A_CONTAINER[setting]
    before = Settings.parse(smallest())
    beside = Settings.parse(smallest(**NOT_OF_A_CONTAINER))
    after = Settings.parse(smallest(**(NOT_OF_A_CONTAINER | {setting: value})))

    assert diff("x", before, beside).because == ()
    assert diff("x", before, after).because == (path,)
    assert diff("x", after, before).because == (path,)


def test_of_a_listener_only_what_a_start_applies_is_a_cause():
    listener = {"port": 1883, "allowFrom": ["192.168.0.0/16"]}
    tls = {"port": 8883, "tls": {"minimumVersion": "1.3"}}

    def between(before, after):
        read = (Settings.parse(smallest(listeners=listeners)) for listeners in (before, after))
        return diff("x", *read).because

    added = {"mqtt": listener | {"allowFrom": ["10.0.0.0/8"]}, "mqtts": tls}
    assert between({"mqtt": listener}, added) == ("broker.listeners.mqtts",)
    assert between(added, {"mqtt": listener}) == ("broker.listeners.mqtts",)
    later = {**added, "mqtts": {"port": 8883, "tls": {"minimumVersion": "1.2", "days": 99}}}
    assert between(added, later) == ("broker.listeners.mqtts.tls.minimumVersion",)


def test_a_generation_rotates_its_user_and_a_length_rotates_all():
    assert after(("      device: true\n", "      generation: 7\n")).rotated == ("paragon_devices",)
    assert len(after(("    limits:", "    passwords: {length: 40}\n    limits:")).rotated) == 5


def rotated(before, after):
    def read(users, fleets, **broker):
        return Settings.parse(smallest(**broker) | {"users": users, "fleets": fleets})

    return diff("x", read(*before[:2], **before[2]), read(*after[:2], **after[2])).rotated


USERS = {name: {"write": ["a"], "password": name} for name in ("generated", "supplied", "adopted")}
FLEET = {"door": {"names": ["door1", "door2"], "write": ["state/%u"]}}


@pytest.mark.parametrize(
    ("passwords", "expected"),
    [({"length": 40}, ("generated", "fleet door")), ({"special": True}, ("generated",))],
)
def test_another_length_or_alphabet_rotates_what_is_drawn_from_it_alone(passwords, expected):
    before, after = (USERS, FLEET, {}), (USERS, FLEET, {"passwords": passwords})

    assert rotated(before, after) == expected
    assert rotated(after, before) == expected


@pytest.mark.parametrize("former", USERS)
@pytest.mark.parametrize("latter", USERS)
def test_a_password_of_another_kind_is_another_password(former, latter):
    before, after = ({"sensor": {"write": ["a"], "password": kind}} for kind in (former, latter))

    found = rotated((before, {}, {}), (after, {}, {}))

    assert found == (("sensor",) if former != latter else ())


def test_a_member_that_is_rotated_alone_is_named_and_the_others_are_not():
    alone = {"door": FLEET["door"] | {"overrides": {"door2": {"generation": 2}}}}
    whole = {"door": FLEET["door"] | {"generation": 2}}
    revoked = {"door": FLEET["door"] | {"overrides": {"door2": {"revoked": True}}}}

    def between(before, after):
        return rotated((USERS, before, {}), (USERS, after, {}))

    assert between(FLEET, alone) == ("door2",)
    assert between(alone, FLEET) == ("door2",)
    assert between(FLEET, whole) == ("fleet door",)
    assert between(alone, whole) == ("fleet door",)
    assert between(FLEET, revoked) == ()
    assert between(FLEET, {"gate": FLEET["door"]}) == ("door1", "door2")


def test_an_overlap_that_begins_rotates_where_the_active_login_is_another():
    def sensor(**more):
        return {"sensor": {"write": ["a"], **more}}, {}, {}

    assert rotated(sensor(), sensor(rotation="overlap")) == ()
    overlap = sensor(rotation="overlap", generation=2)
    assert rotated(sensor(generation=2), overlap) == ("sensor",)
    assert rotated(overlap, sensor(rotation="overlap", generation=3)) == ("sensor",)


def test_a_broken_expectation_and_a_guardrail_are_told():
    found = after((DEVICES_WRITE, 'write: ["paragon/#"]'))

    assert any("may not write paragon/+/commands/#" in finding.message for finding in found.errors)
    assert any("guardrail deviceCommands" in finding.message for finding in found.errors)
    assert after().errors == ()


def test_the_report_says_it_in_markdown_and_in_data():
    found = after((DEVICES_WRITE, 'write: ["paragon/+/#"]'), ("port: 9001", "port: 9002"))
    text = as_markdown([found])

    assert "| `paragon_devices` | **widened** | write `paragon/anything" in text
    assert "- topic write paragon/+/sensors/#" in text
    assert "**The broker is replaced**" in text
    assert as_data(found)["users"][0]["change"] == "widened"
    assert "No stack file changed." in as_markdown([])


def test_the_report_counts_what_it_does_not_name():
    members = [f"door{number}" for number in range(53)]
    fleet = {"door": {"names": members, "write": ["state/%u"]}}
    overrides = {member: {"generation": 2} for member in members}
    before, after = (
        Settings.parse(smallest() | {"fleets": {"door": fleet["door"] | more}})
        for more in ({}, {"overrides": overrides})
    )

    text = as_markdown([diff("x", before, after)])

    assert "New passwords: `door0`, " in text
    assert text.count("`door49` and 3 more.") == 2
