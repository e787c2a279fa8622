"""Passwords and hashes given as secrets: held against the users, and never quoted."""

from datetime import UTC, datetime

import pytest
from declared import smallest

from broker.passwd import SALT_BYTES, hash_password
from broker.settings import Settings
from broker.supplied import leftovers, problems, wanted

NOW = datetime(2027, 1, 31, tzinfo=UTC)
GOOD = "correct horse battery"
HASH = hash_password("s3cret", bytes(SALT_BYTES), 101)


def settings(kind):
    return Settings.parse(smallest() | {"users": {"sensor": {"read": ["a"], "password": kind}}})


@pytest.mark.parametrize(
    ("kind", "secrets"),
    [
        ("generated", {}),
        ("supplied", {"passwords": {"sensor": GOOD}}),
        ("adopted", {"hashes": {"sensor": HASH}}),
    ],
)
def test_what_is_wanted_is_there(kind, secrets):
    assert problems(settings(kind), secrets, NOW) == []


@pytest.mark.parametrize(
    ("kind", "secrets", "path", "said"),
    [
        ("supplied", {}, "users.sensor.password", "pulumi config set --secret --path"),
        ("adopted", {}, "users.sensor.password", 'sentient-mqtt:hashes["sensor"]'),
        ("supplied", {"passwords": {"sensor": "fifteen letters"}}, "passwords.sensor", "15 char"),
        ("supplied", {"passwords": {"sensor": 1234567890123456}}, "passwords.sensor", "quotes"),
        ("supplied", {"passwords": {"sensor": f" {GOOD}"}}, "passwords.sensor", "space"),
        ("supplied", {"passwords": {"sensor": f"{GOOD}\n"}}, "passwords.sensor", "control"),
        ("adopted", {"hashes": {"sensor": HASH[:-3]}}, "hashes.sensor", "copied in part"),
        ("adopted", {"hashes": {"sensor": "in clear, long"}}, "hashes.sensor", "is no hash"),
        ("supplied", {"passwords": GOOD}, "passwords", "must be an object"),
    ],
)
def test_what_is_wrong_is_said_by_its_path_and_never_by_its_value(kind, secrets, path, said):
    found = problems(settings(kind), secrets, NOW)

    assert found
    assert all(each.startswith(f"sentient-mqtt:{path}: ") for each in found[:1])
    assert said in found[0]
    text = str(found)
    for value in (GOOD, HASH, HASH[:-3], "fifteen letters", "1234567890123456", "in clear, long"):
        assert value not in text


def test_an_adopted_password_can_not_be_written_to_an_env_file():
    raw = smallest(envFiles=[{"path": "/etc/one.env", "user": "sensor"}])
    raw["users"]["sensor"]["password"] = "adopted"

    with pytest.raises(ValueError, match="only its clients know"):
        Settings.parse(raw)


def test_what_nobody_wants_is_not_used_and_spoken_of():
    secrets = {"hashes": {"sensor": HASH, "gone": HASH}}

    assert wanted(settings("adopted"), secrets, "adopted") == {"sensor": HASH}
    assert list(leftovers(settings("adopted"), secrets, NOW)) == [
        "sentient-mqtt:hashes: nobody of password 'adopted' uses what is there for gone."
    ]
    # Rotated: from now on it is drawn.
    assert wanted(settings("generated"), secrets, "adopted") == {}
    assert problems(settings("generated"), secrets, NOW) == []
    (said,) = leftovers(settings("generated"), secrets, NOW)
    assert "gone, sensor" in said
    assert HASH not in said
