"""A user has one login, or two that take turns; and who is disconnected by a change is known."""

import pytest
from declared import smallest

from broker.credentials.logins import disconnected, logins, logins_of, stamps
from broker.mosquitto.acl_file import render_acl
from broker.settings.stack_settings import Settings, SettingsError
from broker.settings.users import User


def overlapping(generation, **more):
    return User.model_validate({"rotation": "overlap", "generation": generation, **more})


def settings(users=None, **parts):
    return Settings.parse(smallest() | ({"users": users} if users else {}) | parts)


SENSOR = {"write": ["paragon/+/sensors/#"]}


def test_an_immediate_rotation_is_one_login_under_one_name():
    (only,) = logins_of("sensor", User.model_validate({"generation": "2026-11"}))

    assert (only.name, only.generation, only.active, only.slot) == (
        "sensor",
        "2026-11",
        True,
        "blue",
    )


def test_with_an_overlap_the_two_logins_take_turns():
    seen = [
        [(each.name, each.generation, each.active) for each in logins_of("s", overlapping(number))]
        for number in (1, 2, 3)
    ]

    assert seen == [
        [("s", "1", True)],
        [("s-green", "2", True), ("s", "1", False)],
        [("s", "3", True), ("s-green", "2", False)],
    ]


def test_whoever_has_the_login_of_today_has_it_after_the_next_rotation_too():
    for number in range(1, 9):
        now, then = (logins_of("s", overlapping(each)) for each in (number, number + 1))
        (active,) = [each for each in now if each.active]
        assert (active.name, active.generation) in {(each.name, each.generation) for each in then}


def test_an_overlap_begins_without_anybody_noticing():
    before = settings({"sensor": SENSOR})
    after = settings({"sensor": SENSOR | {"rotation": "overlap"}})

    assert disconnected(stamps(before), stamps(after)) == ()


def test_the_login_before_the_newest_ends_when_that_is_said():
    (only,) = logins_of("s", overlapping(2, previous="revoke"))

    assert (only.name, only.active) == ("s-green", True)


def test_both_logins_have_one_set_of_rights_in_the_acl():
    text = render_acl(settings({"sensor": SENSOR | {"rotation": "overlap", "generation": 2}}))

    rule = "topic write paragon/+/sensors/#\n"
    assert text.startswith(f"user sensor\n{rule}\nuser sensor-green\n{rule}")


@pytest.mark.parametrize(
    ("users", "parts", "said"),
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
def test_what_two_logins_can_not_be_is_one_clear_error(users, parts, said):
    with pytest.raises(SettingsError) as refused:
        settings(users, **parts)

    (line,) = str(refused.value).splitlines()
    assert line.startswith("sentient-mqtt:users.s")
    assert said in line


def test_a_reload_disconnects_whom_it_concerns_and_nobody_else():
    users = {"a": SENSOR, "b": SENSOR, "c": SENSOR}
    before = stamps(settings(users))

    def gone(changed, **parts):
        return disconnected(before, stamps(settings(changed, **parts)))

    assert gone(users) == ()
    assert gone(users | {"d": SENSOR}) == ()
    assert gone(users | {"a": {"read": ["x"]}}) == ()
    assert gone({"a": SENSOR, "b": SENSOR}) == ("c",)
    assert gone(users | {"b": SENSOR | {"generation": 2}}) == ("b",)
    assert gone(users | {"b": SENSOR | {"password": "supplied"}}) == ("b",)
    longer = smallest(passwords={"length": 40})["broker"]
    assert set(gone(users, broker=longer)) == {"a", "b", "c", "healthcheck"}


def test_the_member_of_a_fleet_that_is_rotated_or_revoked_is_the_only_one():
    fleet = {"names": ["x", "y", "z"], "write": ["paragon/%u/sensors/#"]}
    before = stamps(settings(fleets={"door": fleet}))
    overrides = {"x": {"generation": 2}, "z": {"revoked": True}}
    after = stamps(settings(fleets={"door": fleet | {"overrides": overrides}}))

    assert disconnected(before, after) == ("x", "z")
    assert "z" not in after


def test_punctuation_in_generated_passwords_disconnects_no_fleet():
    fleets = {"door": {"names": ["x"], "write": ["paragon/%u/sensors/#"]}}
    special = smallest(passwords={"special": True})["broker"]
    before, after = (stamps(settings(fleets=fleets, **more)) for more in ({}, {"broker": special}))

    assert set(disconnected(before, after)) == {"sensor", "healthcheck"}


def test_logins_are_told_in_the_order_of_the_stack_file():
    users = {"b": SENSOR | {"rotation": "overlap", "generation": 4}, "a": SENSOR}

    assert [each.name for each in logins(settings(users))] == ["b-green", "b", "a"]
