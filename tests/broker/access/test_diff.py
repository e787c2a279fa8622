"""The diff of two stack files compares the access that they grant, and not their text."""

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


def diff_of_prod(*changes):
    return diff("prod", settings(), settings(*changes))


DEVICES_WRITE = 'write: ["paragon/+/sensors/#", "paragon/+/status/#", "paragon/+/events/#"]'


def test_unchanged_stack_file_has_an_empty_diff():
    result = diff_of_prod()

    assert (result.users, result.effect, result.rotated) == ((), "none", ())


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
def test_changed_filters_widen_narrow_both_or_neither(new, change):
    (devices,) = diff_of_prod((DEVICES_WRITE, new)).users

    assert (devices.name, devices.change) == ("paragon_devices", change)
    assert (devices.may_now_write is not None) == (change in ("widened", "changed"))
    assert (devices.no_longer_writes is not None) == (change in ("narrowed", "changed"))
    assert devices.may_now_read is None
    assert devices.no_longer_reads is None


def test_denial_narrows_and_its_removal_widens():
    denied = settings((DEVICES_WRITE, f'{DEVICES_WRITE}\n      deny: ["paragon/+/status/x"]'))

    assert diff("prod", settings(), denied).users[0].no_longer_writes == "paragon/anything/status/x"
    assert diff("prod", denied, settings()).users[0].may_now_write == "paragon/anything/status/x"


def test_pattern_changes_the_access_of_every_user():
    result = diff_of_prod(
        (
            "  sentient-mqtt:topics:",
            '  sentient-mqtt:patterns: {read: ["inbox/%u"]}\n  sentient-mqtt:topics:',
        )
    )

    gained = {user.name: user.may_now_read for user in result.users}
    assert gained["paragon_devices"] == "inbox/paragon_devices"
    # A user that may read '#' gains no access.
    assert gained["admin"] is None


def test_added_and_removed_users_are_reported():
    block = TEXT[
        TEXT.index("    sentient_executor_prod:") : TEXT.index("    sentient_monitor_prod:")
    ]

    (removed,) = diff_of_prod((block, "")).users
    (added,) = diff("prod", settings((block, "")), settings()).users

    assert (removed.name, removed.change) == ("sentient_executor_prod", "removed")
    assert (added.name, added.change) == ("sentient_executor_prod", "added")


def test_reordered_users_reload_the_broker_without_changed_access():
    block = TEXT[
        TEXT.index("    sentient_executor_prod:") : TEXT.index("    sentient_monitor_prod:")
    ]

    result = diff_of_prod((block, ""), ("    admin:\n", f"{block}    admin:\n"))

    assert result.users == ()
    assert result.effect == "reload"


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
def test_effect_on_the_broker_and_its_cause(change, effect, because):
    result = diff_of_prod(change)

    assert (result.effect, result.because) == (effect, because)


NOT_REPLACING = {
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
REPLACING = {
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


@pytest.mark.parametrize("setting", REPLACING)
def test_only_settings_that_replace_the_container_are_causes(setting):
    value, path = REPLACING[setting]
    before = Settings.parse(smallest())
    other_settings = Settings.parse(smallest(**NOT_REPLACING))
    after = Settings.parse(smallest(**(NOT_REPLACING | {setting: value})))

    assert diff("x", before, other_settings).because == ()
    assert diff("x", before, after).because == (path,)
    assert diff("x", after, before).because == (path,)


def test_only_listener_settings_that_a_start_applies_are_causes():
    listener = {"port": 1883, "allowFrom": ["192.168.0.0/16"]}
    tls = {"port": 8883, "tls": {"minimumVersion": "1.3"}}

    def causes(before, after):
        revisions = (Settings.parse(smallest(listeners=listeners)) for listeners in (before, after))
        return diff("x", *revisions).because

    added = {"mqtt": listener | {"allowFrom": ["10.0.0.0/8"]}, "mqtts": tls}
    assert causes({"mqtt": listener}, added) == ("broker.listeners.mqtts",)
    assert causes(added, {"mqtt": listener}) == ("broker.listeners.mqtts",)
    later = {**added, "mqtts": {"port": 8883, "tls": {"minimumVersion": "1.2", "days": 99}}}
    assert causes(added, later) == ("broker.listeners.mqtts.tls.minimumVersion",)


def test_generation_rotates_one_user_and_length_rotates_all():
    generation = ("      device: true\n", "      generation: 7\n")
    length = ("    limits:", "    passwords: {length: 40}\n    limits:")

    assert diff_of_prod(generation).rotated == ("paragon_devices",)
    assert len(diff_of_prod(length).rotated) == 5


def rotated(before, after):
    def parse(users, fleets, **broker):
        return Settings.parse(smallest(**broker) | {"users": users, "fleets": fleets})

    return diff("x", parse(*before[:2], **before[2]), parse(*after[:2], **after[2])).rotated


USERS = {name: {"write": ["a"], "password": name} for name in ("generated", "supplied", "adopted")}
FLEET = {"door": {"names": ["door1", "door2"], "write": ["state/%u"]}}


@pytest.mark.parametrize(
    ("passwords", "expected"),
    [({"length": 40}, ("generated", "fleet door")), ({"special": True}, ("generated",))],
)
def test_length_and_alphabet_rotate_generated_passwords_only(passwords, expected):
    before, after = (USERS, FLEET, {}), (USERS, FLEET, {"passwords": passwords})

    assert rotated(before, after) == expected
    assert rotated(after, before) == expected


@pytest.mark.parametrize("old_kind", USERS)
@pytest.mark.parametrize("new_kind", USERS)
def test_changed_kind_of_password_is_a_rotation(old_kind, new_kind):
    before, after = (
        {"sensor": {"write": ["a"], "password": kind}} for kind in (old_kind, new_kind)
    )

    names = rotated((before, {}, {}), (after, {}, {}))

    assert names == (("sensor",) if old_kind != new_kind else ())


def test_rotation_of_one_member_names_only_that_member():
    one_member = {"door": FLEET["door"] | {"overrides": {"door2": {"generation": 2}}}}
    whole_fleet = {"door": FLEET["door"] | {"generation": 2}}
    revoked = {"door": FLEET["door"] | {"overrides": {"door2": {"revoked": True}}}}

    def names(before, after):
        return rotated((USERS, before, {}), (USERS, after, {}))

    assert names(FLEET, one_member) == ("door2",)
    assert names(one_member, FLEET) == ("door2",)
    assert names(FLEET, whole_fleet) == ("fleet door",)
    assert names(one_member, whole_fleet) == ("fleet door",)
    assert names(FLEET, revoked) == ()
    assert names(FLEET, {"gate": FLEET["door"]}) == ("door1", "door2")


def test_beginning_overlap_is_a_rotation_only_if_the_active_login_changes():
    def sensor(**more):
        return {"sensor": {"write": ["a"], **more}}, {}, {}

    assert rotated(sensor(), sensor(rotation="overlap")) == ()
    overlap = sensor(rotation="overlap", generation=2)
    assert rotated(sensor(generation=2), overlap) == ("sensor",)
    assert rotated(overlap, sensor(rotation="overlap", generation=3)) == ("sensor",)


def test_violated_expectation_and_guardrail_are_errors():
    errors = diff_of_prod((DEVICES_WRITE, 'write: ["paragon/#"]')).errors

    assert any("may not write paragon/+/commands/#" in error.message for error in errors)
    assert any("guardrail deviceCommands" in error.message for error in errors)
    assert diff_of_prod().errors == ()


def test_report_in_markdown_and_as_data():
    result = diff_of_prod((DEVICES_WRITE, 'write: ["paragon/+/#"]'), ("port: 9001", "port: 9002"))
    text = as_markdown([result])

    assert "| `paragon_devices` | **widened** | write `paragon/anything" in text
    assert "- topic write paragon/+/sensors/#" in text
    assert "**The broker is replaced**" in text
    assert as_data(result)["users"][0]["change"] == "widened"
    assert "No stack file changed." in as_markdown([])


def test_report_abbreviates_long_lists_of_names():
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
