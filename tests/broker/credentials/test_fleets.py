"""A fleet's passwords all follow from one seed, and none of them tells of another."""

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


def test_a_password_is_hkdf_of_the_seed_under_the_members_name():
    """RFC 5869: extract, then expand; written down a second time here, byte by byte."""
    key = hmac.digest(b"sentient-mqtt fleet", b"seed", "sha256")
    first = hmac.digest(key, b"door001\x01", "sha256")
    second = hmac.digest(key, first + b"door001\x02", "sha256")
    usable = [byte for byte in first + second if byte < 248]

    expected = "".join(ALPHABET[byte % 62] for byte in usable)
    assert derive_password("seed", "door001", 32) == expected[:32]


def test_it_is_the_same_each_time_and_each_members_own():
    members = fleets(count=500, prefix="door")["door"].members

    passwords = {derive_password("seed", each, 32) for each in members}
    assert len(passwords) == 500
    assert passwords == {derive_password("seed", each, 32) for each in members}
    assert not passwords & {derive_password("another seed", each, 32) for each in members}


@pytest.mark.parametrize("length", [16, 32, 128])
def test_it_is_as_long_as_it_is_asked_to_be_and_letters_and_digits(length):
    password = derive_password("seed", "door", length)

    assert len(password) == length
    assert password.isascii()
    assert password.isalnum()


def test_no_character_is_likelier_than_another():
    drawn = "".join(derive_password("seed", f"door{number}", 128) for number in range(500))

    expected = len(drawn) / 62
    assert all(abs(drawn.count(each) - expected) < expected * 0.2 for each in ALPHABET)


def test_members_have_names_or_a_number():
    assert fleets(names=["north", "south"])["door"].members == ("north", "south")
    assert fleets(count=2, prefix="door-")["door"].members == ("door-001", "door-002")
    assert fleets(count=1000, prefix="d")["door"].members[-1] == "d1000"
    assert fleets(count=1000, prefix="d")["door"].members[0] == "d001"


@pytest.mark.parametrize("count", [1, 9, 99, 999, 9999])
def test_one_member_more_is_all_that_changes(count):
    before, after = (fleets(count=each, prefix="d")["door"].members for each in (count, count + 1))

    assert after[:-1] == before


def test_ten_thousand_names_are_read_in_no_time():
    began = time.process_time()

    assert len(fleets(names=[f"n{each}" for each in range(10_000)])["door"].members) == 10_000
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("fleet", "says"),
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
            {"names": [f"n{each}" for each in range(100_001)]},
            "names: 100001: must be at most 100,000",
        ),
    ],
)
def test_a_fleet_that_could_not_log_in_is_refused(fleet, says):
    with pytest.raises(SettingsError) as wrong:
        fleets(**fleet)

    (line,) = str(wrong.value).splitlines()
    assert line.startswith("sentient-mqtt:fleets.door")
    assert says in line


def test_a_user_is_not_called_as_rotations_call_a_fleet():
    users = {"fleet.door": {"write": ["a"]}}
    door = {"names": ["a"], "write": ["paragon/%u/x"]}

    with pytest.raises(SettingsError, match=r"users\.fleet\.door: .*choose another name"):
        Settings.parse(smallest() | {"users": users, "fleets": {"door": door}})


def test_a_rotation_is_the_fleets():
    given = fleets(names=["a", "b"], generation=7)

    assert member_generations(given) == {"a": "7", "b": "7"}
    assert member_passwords(given, {"door": "one"}, 16).keys() == {"a", "b"}


def test_one_member_is_rotated_alone_and_the_others_keep_what_they_have():
    seeds = {"door": "one"}
    before = member_passwords(fleets(names=["a", "b"]), seeds, 16)

    given = fleets(names=["a", "b"], overrides={"b": {"generation": 2}})
    after = member_passwords(given, seeds, 16)

    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
    assert member_generations(given) == {"a": "1", "b": "1+2"}


def test_a_revoked_member_has_no_password_any_more():
    given = fleets(names=["a", "b"], overrides={"b": {"revoked": True}})

    assert member_passwords(given, {"door": "one"}, 16).keys() == {"a"}
    assert given["door"].members == ("a", "b")


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"c": {"revoked": True}}, "is not a member of this fleet"),
        ({"a": {"revoked": True}, "b": {"revoked": True}}, "revokes every member"),
        ({"a": {"revokd": True}}, "Did you mean 'revoked'?"),
    ],
)
def test_an_override_of_nobody_and_of_everybody_is_refused(overrides, says):
    with pytest.raises(SettingsError, match=r"fleets\.door") as wrong:
        fleets(names=["a", "b"], overrides=overrides)

    assert says in str(wrong.value)


def test_what_controllers_have_in_their_firmware_stays_what_it_is():
    """Another derivation would lock every controller out; whatever is changed here, not this."""
    assert derive_password("seed1", "m1", 32) == "Sobkwfg6sWjH22uxizq9NnO2dQizX0bG"
    assert derive_password("seed3", "m3", 16) == "V6U0TKuapnu4ALpj"
