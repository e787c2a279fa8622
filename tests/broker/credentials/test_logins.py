"""Logins with immediate and overlapping rotation, and the logins that a change disconnects."""

import pytest
from declared import smallest

from broker.credentials.logins import disconnected, logins, logins_of, stamps
from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings, SettingsError
from broker.settings.users import User


def overlapping(generation, **more):
    return User.model_validate({"rotation": "overlap", "generation": generation, **more})


def settings(users=None, **keys):
    return Settings.parse(smallest() | ({"users": users} if users else {}) | keys)


SENSOR = {"write": ["paragon/+/sensors/#"]}


def test_immediate_rotation_has_one_login():
    (only,) = logins_of("sensor", User.model_validate({"generation": "2026-11"}))

    assert (only.name, only.generation, only.active, only.slot) == (
        "sensor",
        "2026-11",
        True,
        "blue",
    )


def test_overlapping_rotation_alternates_between_two_logins():
    by_generation = [
        [
            (login.name, login.generation, login.active)
            for login in logins_of("s", overlapping(number))
        ]
        for number in (1, 2, 3)
    ]

    assert by_generation == [
        [("s", "1", True)],
        [("s-green", "2", True), ("s", "1", False)],
        [("s", "3", True), ("s-green", "2", False)],
    ]


def test_active_login_stays_valid_after_the_next_overlapping_rotation():
    for number in range(1, 9):
        (active,) = [login for login in logins_of("s", overlapping(number)) if login.active]
        next_logins = logins_of("s", overlapping(number + 1))
        assert (active.name, active.generation) in {
            (login.name, login.generation) for login in next_logins
        }


def test_beginning_an_overlap_disconnects_nobody():
    before = settings({"sensor": SENSOR})
    after = settings({"sensor": SENSOR | {"rotation": "overlap"}})

    assert disconnected(stamps(before), stamps(after)) == ()


def test_previous_revoke_ends_the_previous_login():
    (only,) = logins_of("s", overlapping(2, previous="revoke"))

    assert (only.name, only.active) == ("s-green", True)


def test_both_logins_have_the_same_rules_in_the_acl():
    text = render_acl(settings({"sensor": SENSOR | {"rotation": "overlap", "generation": 2}}))

    rule = "topic write paragon/+/sensors/#\n"
    assert text.startswith(f"user sensor\n{rule}\nuser sensor-green\n{rule}")


@pytest.mark.parametrize(
    ("users", "keys", "message"),
    [
        ({"s": SENSOR | {"rotation": "overlap", "generation": "2026-11"}}, {}, "whole number"),
        ({"s": SENSOR | {"rotation": "overlap", "generation": 0}}, {}, "whole number"),
        ({"s": SENSOR | {"rotation": "overlap", "password": "adopted"}}, {}, "generated passwords"),
        ({"s": SENSOR | {"previous": "revoke"}}, {}, "requires rotation 'overlap'"),
        (
            {"s": SENSOR | {"rotation": "overlap"}, "s-green": SENSOR},
            {},
            "'s-green': is the name of users.s-green already",
        ),
        ({"s" * 60: SENSOR | {"rotation": "overlap"}}, {}, "second login"),
        (
            {"s": SENSOR | {"rotation": "overlap"}},
            {"patterns": {"read": ["inbox/%u"]}},
            "grant access by name",
        ),
    ],
)
def test_invalid_rotation_is_one_error(users, keys, message):
    with pytest.raises(SettingsError) as raised:
        settings(users, **keys)

    (line,) = str(raised.value).splitlines()
    assert line.startswith("sentient-mqtt:users.s")
    assert message in line


def test_reload_disconnects_removed_and_rotated_logins_only():
    users = {"a": SENSOR, "b": SENSOR, "c": SENSOR}
    before = stamps(settings(users))

    def disconnected_by(changed, **keys):
        return disconnected(before, stamps(settings(changed, **keys)))

    assert disconnected_by(users) == ()
    assert disconnected_by(users | {"d": SENSOR}) == ()
    assert disconnected_by(users | {"a": {"read": ["x"]}}) == ()
    assert disconnected_by({"a": SENSOR, "b": SENSOR}) == ("c",)
    assert disconnected_by(users | {"b": SENSOR | {"generation": 2}}) == ("b",)
    assert disconnected_by(users | {"b": SENSOR | {"password": "supplied"}}) == ("b",)
    longer = smallest(passwords={"length": 40})["broker"]
    assert set(disconnected_by(users, broker=longer)) == {"a", "b", "c", "healthcheck"}


def test_only_rotated_and_revoked_members_of_a_fleet_are_disconnected():
    fleet = {"names": ["x", "y", "z"], "write": ["paragon/%u/sensors/#"]}
    before = stamps(settings(fleets={"door": fleet}))
    overrides = {"x": {"generation": 2}, "z": {"revoked": True}}
    after = stamps(settings(fleets={"door": fleet | {"overrides": overrides}}))

    assert disconnected(before, after) == ("x", "z")
    assert "z" not in after


def test_special_rotates_users_and_no_fleet():
    fleets = {"door": {"names": ["x"], "write": ["paragon/%u/sensors/#"]}}
    special = smallest(passwords={"special": True})["broker"]
    before = stamps(settings(fleets=fleets))
    after = stamps(settings(fleets=fleets, broker=special))

    assert set(disconnected(before, after)) == {"sensor", "healthcheck"}


def test_logins_are_in_the_order_of_the_stack_file():
    users = {"b": SENSOR | {"rotation": "overlap", "generation": 4}, "a": SENSOR}

    assert [login.name for login in logins(settings(users))] == ["b-green", "b", "a"]
