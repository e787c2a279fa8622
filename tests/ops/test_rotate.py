"""What `make rotate` writes into the stack file, for whom, and whom it leaves alone."""

import re

import pytest
from declared import smallest

from broker.settings import Settings
from ops.rotate import following, raise_generations, revoke_previous
from ops.stack import Refusal

FILTERS = {"write": ["paragon/x"]}
RAW = smallest() | {
    "users": {
        "plain": FILTERS | {"generation": "2026-11"},
        "two-logins": FILTERS | {"rotation": "overlap", "generation": 4, "previous": "revoke"},
        "person": FILTERS | {"password": "supplied"},
        "found": FILTERS | {"password": "adopted"},
    },
    "fleets": {
        "teensy": {
            "names": ["t-1", "t-2", "gone"],
            "write": ["paragon/%u/x"],
            "generation": 3,
            "overrides": {"t-2": {"generation": 7}, "gone": {"revoked": True}},
        }
    },
}
SETTINGS = Settings.parse(RAW)


def raised(*named):
    return raise_generations(SETTINGS, list(named), "Pulumi.dev.yaml")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", {"users.plain.generation": "2026-11.1"}),
        (
            "two-logins",
            {'users["two-logins"].generation': "5", 'users["two-logins"].previous': "keep"},
        ),
        ("found", {"users.found.generation": "2", "users.found.password": "generated"}),
        ("teensy", {"fleets.teensy.generation": "4"}),
        ("t-1", {'fleets.teensy.overrides["t-1"].generation': "4"}),
        ("t-2", {'fleets.teensy.overrides["t-2"].generation': "8"}),
    ],
)
def test_each_is_rotated_where_it_stands(name, written):
    assert raised(name) == {f"sentient-mqtt:{key}": value for key, value in written.items()}


def test_all_are_all_but_those_whose_password_a_person_chose():
    keys = raised()

    assert not any("person" in key for key in keys)
    assert {re.split(r"[.:\[\]\"]+", key)[2] for key in keys} == {
        *("plain", "two-logins", "found", "teensy")
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("person", "its password is supplied. Set another one: pulumi config set --secret"),
        ("plane", "no such user or fleet in Pulumi.dev.yaml. Did you mean 'plain'?"),
        ("gone", "no such user or fleet"),
        ("zzzz", "There are: plain, two-logins, person, found, teensy."),
    ],
)
def test_who_can_not_be_rotated_is_told_why(name, said):
    with pytest.raises(Refusal) as refused:
        raised(name)

    assert said in str(refused.value)


def test_an_overlap_ends_for_those_who_have_one():
    written = {'sentient-mqtt:users["two-logins"].previous': "revoke"}

    assert revoke_previous(SETTINGS, ["two-logins"], "f") == written
    assert revoke_previous(SETTINGS, [], "f") == written
    with pytest.raises(Refusal, match=r"has no rotation 'overlap' in f\. There are: two-logins\."):
        revoke_previous(SETTINGS, ["plain"], "f")


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("1", "2"),
        ("9", "10"),
        ("2026-11", "2026-11.1"),
        ("2026-11.1", "2026-11.2"),
        ("a.b", "a.b.1"),
    ],
)
def test_the_generation_that_follows(now, then):
    assert following(now) == then
