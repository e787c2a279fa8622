"""Since when a password is the one it is: by party, with the slot that is in use."""

from declared import smallest

from broker.credentials.password_ages import (
    describe_rotations,
    generations,
    old_passwords,
    read_rotations,
    rotation_fixes,
)
from broker.settings.stack_settings import Settings

RAW = smallest() | {
    "users": {
        "sensor": {"write": ["a"], "generation": 3},
        "display": {"read": ["a"], "rotation": "overlap", "generation": 2},
    },
    "fleets": {
        "door": {
            "names": ["north", "south"],
            "write": ["paragon/%u/x"],
            "overrides": {"south": {"generation": 5}},
        }
    },
}


def test_a_party_is_a_user_a_fleet_or_a_member_that_was_rotated_alone():
    assert generations(Settings.parse(RAW)) == {
        "sensor": "3",
        "display": "2",
        "fleet.door": "1",
        "south": "1+5",
        "healthcheck": "1",
    }


def test_what_is_in_use_is_said_with_its_time():
    times = read_rotations("sensor 3 2026-11-24T03:00:00Z\ndisplay 2 2026-11-24T04:00:00Z\n")

    described = describe_rotations(Settings.parse(RAW), times)

    assert described["sensor"] == {"generation": "3", "rotatedAt": "2026-11-24T03:00:00Z"}
    assert described["display"] == {
        "generation": "2",
        "rotatedAt": "2026-11-24T04:00:00Z",
        "slot": "green",
        "login": "display-green",
    }


def test_a_password_is_too_old_after_its_days_and_not_on_the_last_of_them():
    ages = {"sensor": 91, "display": 90, "fleet.door": 3}
    (finding,) = old_passwords(ages, 90, rotation_fixes(Settings.parse(RAW)))

    assert finding.severity == "warning"
    assert (
        finding.message
        == "The password of sensor is 91 days old; broker.passwords.maxAgeDays is 90."
    )
    assert finding.fix == "Rotate it: ./brokerctl rotate sensor."


def test_the_way_out_is_one_that_goes():
    raw = RAW | {"users": {**RAW["users"], "lamp": {"read": ["a"], "password": "supplied"}}}
    ways = rotation_fixes(Settings.parse(raw))

    assert ways.keys() == generations(Settings.parse(raw)).keys()
    assert ways["fleet.door"] == "Rotate it: ./brokerctl rotate door"
    assert ways["south"] == "Rotate it: ./brokerctl rotate south"
    assert ways["healthcheck"] == "Say another broker.health.generation"
    assert ways["lamp"].startswith("Set another one: pulumi config set --secret --path")
    assert "and say another users.lamp.generation" in ways["lamp"]


def test_a_fleet_with_a_users_name_is_called_by_all_of_its_own():
    raw = smallest() | {"users": {"door": {"read": ["a"]}}, "fleets": RAW["fleets"]}

    assert (
        rotation_fixes(Settings.parse(raw))["fleet.door"]
        == "Rotate it: ./brokerctl rotate fleet.door"
    )
