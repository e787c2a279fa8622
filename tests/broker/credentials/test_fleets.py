"""The passwords of a fleet are derived from one seed, and reveal nothing about each other."""

import hmac
import time

import pytest
from declared import smallest

from broker.credentials.fleets import (
    ALPHABET,
    derive_password,
    member_generations,
    member_passwords,
)
from broker.settings.stack_settings import Settings, SettingsError


def fleets(**fleet):
    raw = smallest() | {"fleets": {"door": {"write": ["paragon/%u/sensors/#"], **fleet}}}
    return Settings.parse(raw).fleets


def test_password_is_hkdf_of_seed_and_member_name():
    """RFC 5869, extract and expand, implemented a second time."""
    key = hmac.digest(b"sentient-mqtt fleet", b"seed", "sha256")
    first = hmac.digest(key, b"door001\x01", "sha256")
    second = hmac.digest(key, first + b"door001\x02", "sha256")
    usable = [byte for byte in first + second if byte < 248]

    expected = "".join(ALPHABET[byte % 62] for byte in usable)
    assert derive_password("seed", "door001", 32) == expected[:32]


def test_password_is_reproducible_and_differs_between_members_and_seeds():
    members = fleets(count=500, prefix="door")["door"].members

    passwords = {derive_password("seed", member, 32) for member in members}
    assert len(passwords) == 500
    assert passwords == {derive_password("seed", member, 32) for member in members}
    assert not passwords & {derive_password("another seed", member, 32) for member in members}


@pytest.mark.parametrize("length", [16, 32, 128])
def test_password_has_the_length_and_consists_of_letters_and_digits(length):
    password = derive_password("seed", "door", length)

    assert len(password) == length
    assert password.isascii()
    assert password.isalnum()


def test_all_characters_are_equally_likely():
    text = "".join(derive_password("seed", f"door{number}", 128) for number in range(500))

    expected = len(text) / 62
    assert all(abs(text.count(character) - expected) < expected * 0.2 for character in ALPHABET)


def test_members_are_listed_or_numbered():
    assert fleets(names=["north", "south"])["door"].members == ("north", "south")
    assert fleets(count=2, prefix="door-")["door"].members == ("door-001", "door-002")
    assert fleets(count=1000, prefix="d")["door"].members[-1] == "d1000"
    assert fleets(count=1000, prefix="d")["door"].members[0] == "d001"


@pytest.mark.parametrize("count", [1, 9, 99, 999, 9999])
def test_increased_count_renames_no_member(count):
    before, after = (
        fleets(count=number, prefix="d")["door"].members for number in (count, count + 1)
    )

    assert after[:-1] == before


def test_ten_thousand_names_are_parsed_in_half_a_second():
    began = time.process_time()

    assert len(fleets(names=[f"n{number}" for number in range(10_000)])["door"].members) == 10_000
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("fleet", "message"),
    [
        ({}, "needs either 'names' or 'count'"),
        ({"names": ["a"], "count": 2, "prefix": "b"}, "needs either 'names' or 'count'"),
        ({"count": 2}, "requires 'count'"),
        ({"names": ["a"], "prefix": "b"}, "requires 'count'"),
        ({"names": ["a", "a"]}, "is listed twice"),
        ({"names": ["sensor"]}, "is the name of users.sensor already"),
        ({"names": ["healthcheck"]}, "is the name of broker.health.user already"),
        ({"names": ["a"], "read": ["paragon/all"]}, "must contain the level '%u'"),
        ({"count": 2, "prefix": "a" * 62}, "shorten it"),
        ({"names": ["sentient-mqtt-canary"]}, "is reserved for the check"),
        ({"count": 0, "prefix": "d"}, "count: 0: must be at least 1"),
        ({"count": 1_000_000, "prefix": "d"}, "count: 1000000: must be at most 100000"),
        (
            {"names": [f"n{number}" for number in range(100_001)]},
            "names: 100001: must be at most 100,000",
        ),
    ],
)
def test_invalid_fleet_is_an_error(fleet, message):
    with pytest.raises(SettingsError) as raised:
        fleets(**fleet)

    (line,) = str(raised.value).splitlines()
    assert line.startswith("sentient-mqtt:fleets.door")
    assert message in line


def test_user_name_must_differ_from_the_fleets_name_in_rotations():
    users = {"fleet.door": {"write": ["a"]}}
    door = {"names": ["a"], "write": ["paragon/%u/x"]}

    with pytest.raises(SettingsError, match=r"users\.fleet\.door: .*choose another name"):
        Settings.parse(smallest() | {"users": users, "fleets": {"door": door}})


def test_generation_of_a_fleet_applies_to_all_members():
    rotated = fleets(names=["a", "b"], generation=7)

    assert member_generations(rotated) == {"a": "7", "b": "7"}
    assert member_passwords(rotated, {"door": "one"}, 16).keys() == {"a", "b"}


def test_rotation_of_one_member_keeps_the_other_passwords():
    seeds = {"door": "one"}
    before = member_passwords(fleets(names=["a", "b"]), seeds, 16)

    rotated = fleets(names=["a", "b"], overrides={"b": {"generation": 2}})
    after = member_passwords(rotated, seeds, 16)

    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
    assert member_generations(rotated) == {"a": "1", "b": "1+2"}


def test_revoked_member_has_no_password():
    revoked = fleets(names=["a", "b"], overrides={"b": {"revoked": True}})

    assert member_passwords(revoked, {"door": "one"}, 16).keys() == {"a"}
    assert revoked["door"].members == ("a", "b")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"c": {"revoked": True}}, "is not a member of this fleet"),
        ({"a": {"revoked": True}, "b": {"revoked": True}}, "revokes every member"),
        ({"a": {"revokd": True}}, "Did you mean 'revoked'?"),
    ],
)
def test_invalid_override_is_an_error(overrides, message):
    with pytest.raises(SettingsError, match=r"fleets\.door") as raised:
        fleets(names=["a", "b"], overrides=overrides)

    assert message in str(raised.value)


def test_derivation_of_passwords_does_not_change():
    """Another derivation would lock out all controllers, so these values must never change."""
    assert derive_password("seed1", "m1", 32) == "Sobkwfg6sWjH22uxizq9NnO2dQizX0bG"
    assert derive_password("seed3", "m3", 16) == "V6U0TKuapnu4ALpj"
