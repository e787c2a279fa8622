"""Generations, rotation times and ages of passwords."""

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


def test_generations_of_users_fleets_and_members_rotated_alone():
    assert generations(Settings.parse(RAW)) == {
        "sensor": "3",
        "display": "2",
        "fleet.door": "1",
        "south": "1+5",
        "healthcheck": "1",
    }


def test_rotations_are_described_with_time_and_active_login():
    times = read_rotations("sensor 3 2026-11-24T03:00:00Z\ndisplay 2 2026-11-24T04:00:00Z\n")

    described = describe_rotations(Settings.parse(RAW), times)

    assert described["sensor"] == {"generation": "3", "rotatedAt": "2026-11-24T03:00:00Z"}
    assert described["display"] == {
        "generation": "2",
        "rotatedAt": "2026-11-24T04:00:00Z",
        "slot": "green",
        "login": "display-green",
    }


def test_password_older_than_max_age_days_is_a_warning():
    ages = {"sensor": 91, "display": 90, "fleet.door": 3}
    (finding,) = old_passwords(ages, 90, rotation_fixes(Settings.parse(RAW)))

    assert finding.severity == "warning"
    assert (
        finding.message
        == "The password of sensor is 91 days old; broker.passwords.maxAgeDays is 90."
    )
    assert finding.fix == "Rotate it: ./brokerctl rotate sensor."


def test_every_rotatable_password_has_a_fix():
    raw = RAW | {"users": {**RAW["users"], "lamp": {"read": ["a"], "password": "supplied"}}}
    fixes = rotation_fixes(Settings.parse(raw))

    assert fixes.keys() == generations(Settings.parse(raw)).keys()
    assert fixes["fleet.door"] == "Rotate it: ./brokerctl rotate door"
    assert fixes["south"] == "Rotate it: ./brokerctl rotate south"
    assert fixes["healthcheck"] == "Change broker.health.generation"
    assert fixes["lamp"].startswith("Set another password: pulumi config set --secret --path")
    assert "and change users.lamp.generation" in fixes["lamp"]


def test_fix_of_a_fleet_with_a_users_name_has_the_full_name():
    raw = smallest() | {"users": {"door": {"read": ["a"]}}, "fleets": RAW["fleets"]}

    assert (
        rotation_fixes(Settings.parse(raw))["fleet.door"]
        == "Rotate it: ./brokerctl rotate fleet.door"
    )
