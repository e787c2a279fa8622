"""Passwords and hashes given as secrets: held against the users, and never quoted."""

import shlex
from datetime import UTC, datetime

import pytest
from declared import smallest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.env_files import READ_ALIKE, host_env_file
from broker.credentials.external_secrets import (
    KEYS,
    MOST,
    misread_in_env_files,
    required_secrets,
    secret_errors,
    secret_warnings,
    secrets_in_clear,
)
from broker.credentials.password_hashes import SALT_BYTES, hash_password
from broker.findings import one_line
from broker.settings.stack_settings import Settings

NOW = datetime(2027, 1, 31, tzinfo=UTC)
GOOD = "correct horse battery"
HASH = hash_password("s3cret", bytes(SALT_BYTES), 101)


def errors(*given):
    return list(one_line(secret_errors(*given)))


def warnings(*given):
    return list(one_line(secret_warnings(*given)))


def plain(values):
    return list(one_line(secrets_in_clear(values)))


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
    assert errors(settings(kind), secrets, NOW) == []


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
    found = errors(settings(kind), secrets, NOW)

    assert found
    assert all(each.startswith(f"sentient-mqtt:{path}: ") for each in found[:1])
    assert said in found[0]
    text = str(found)
    for value in (GOOD, HASH, HASH[:-3], "fifteen letters", "1234567890123456", "in clear, long"):
        assert value not in text


def test_an_adopted_password_can_not_be_written_to_an_env_file():
    raw = smallest(envFiles=[{"path": "/etc/one.env", "user": "sensor"}])
    raw["users"]["sensor"]["password"] = "adopted"

    with pytest.raises(ValueError, match="only the hash is known"):
        Settings.parse(raw)


READABLE = "correct-horse:battery#€"
IN_FILES = {"envFiles": [{"path": "/etc/one.env", "user": "sensor"}]}


def supplied(**broker):
    users = {"sensor": {"read": ["a"], "password": "supplied"}}
    return Settings.parse(smallest(**broker) | {"users": users})


@pytest.mark.parametrize(
    ("mark", "readers"),
    [
        (" ", "sh, Docker Compose, systemd and python-dotenv"),
        ("'", "sh, Docker Compose, systemd and python-dotenv"),
        ("$", "sh, Docker Compose and python-dotenv"),
        ("\\", "sh and systemd"),
        ("`", "sh"),
    ],
)
def test_an_env_file_takes_no_password_that_is_read_in_two_ways(mark, readers):
    password = f"Correct{mark}horse4battery"

    (said,) = errors(supplied(**IN_FILES), {"passwords": {"sensor": password}}, NOW)

    assert said.startswith(
        f"sentient-mqtt:passwords.sensor: holds characters that {readers} would not read as they "
        "stand in an env file, and broker.envFiles[0] writes it to /etc/one.env: there it may hold "
        f"letters, digits and {READ_ALIKE}. Set another one: pulumi config set --secret --path "
        "'sentient-mqtt:passwords[\"sensor\"]'"
    )
    assert "horse" not in said
    # Where no file is written nothing is wrong: it has a URL, and the output goes without it.
    assert errors(supplied(), {"passwords": {"sensor": password}}, NOW) == []
    (left_out,) = warnings(supplied(), {"passwords": {"sensor": password}}, NOW)
    assert left_out.startswith(f"sentient-mqtt:passwords.sensor: holds characters that {readers} ")
    assert "the output 'envFiles' leaves the user out" in left_out
    assert "horse" not in left_out


def test_a_password_that_all_readers_read_alike_is_in_the_file_and_the_output():
    secrets = {"passwords": {"sensor": READABLE}}

    assert errors(supplied(**IN_FILES), secrets, NOW) == []
    assert list(warnings(supplied(**IN_FILES), secrets, NOW)) == []
    assert misread_in_env_files(supplied(), secrets) == {}


@pytest.mark.parametrize("password", ["$hort", "two\nlines of a password", 1234567890123456])
def test_what_no_password_may_be_is_said_once(password):
    assert len(errors(supplied(**IN_FILES), {"passwords": {"sensor": password}}, NOW)) == 1


@given(st.text(st.characters(codec="utf-8"), min_size=16))
def test_a_password_is_accepted_where_an_env_file_can_be_rendered_from_it(password):
    declared = supplied(**IN_FILES)
    (file,) = declared.broker.env_files
    if errors(declared, {"passwords": {"sensor": password}}, NOW):
        with pytest.raises(ValueError, match="MQTT_PASSWORD"):
            host_env_file(declared.broker, "prod", file, "sensor", password)
    else:
        text = host_env_file(declared.broker, "prod", file, "sensor", password).text
        assert text.endswith(f"\nMQTT_PASSWORD={password}\n")


def test_what_nobody_wants_is_not_used_and_spoken_of():
    secrets = {"hashes": {"sensor": HASH, "gone": HASH}}

    assert required_secrets(settings("adopted"), secrets, "adopted") == {"sensor": HASH}
    assert list(warnings(settings("adopted"), secrets, NOW)) == [
        "sentient-mqtt:hashes: nobody of password 'adopted' uses what is there for gone."
    ]
    # Rotated: from now on it is drawn.
    assert required_secrets(settings("generated"), secrets, "adopted") == {}
    assert errors(settings("generated"), secrets, NOW) == []
    (said,) = warnings(settings("generated"), secrets, NOW)
    assert "gone, sensor" in said
    assert HASH not in said


ENCRYPTED = {"secure": "v1:abc:def"}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "{}", "null", {}, ENCRYPTED),
        {"sensor": ENCRYPTED, "secure": ENCRYPTED},
        {"sensor": ENCRYPTED, "lamp": None},
    ],
)
def test_what_pulumi_encrypted_is_not_in_clear(key, value):
    assert plain({key: value, "users": {"sensor": {"password": "supplied"}}}) == []


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"sensor": GOOD}, ["sensor"]),
        ({"lamp": ENCRYPTED, "sensor": GOOD}, ["sensor"]),
        ({"sensor": {"old": GOOD}}, ["sensor"]),
        ({"sensor": [ENCRYPTED, GOOD]}, ["sensor"]),
        ({"sensor": 1234567890123456}, ["sensor"]),
        # Set as one text: nothing in it is encrypted, whatever it is called.
        (f'{{"sensor": "{GOOD}", "lamp": "{GOOD}"}}', ["sensor", "lamp"]),
        (f'{{"secure": "{GOOD}"}}', ["secure"]),
        ({"secure": GOOD, "sensor": GOOD}, ["secure", "sensor"]),
        (GOOD, []),
        (f'["{GOOD}"]', []),
        ([GOOD], []),
        (1234567890123456, []),
    ],
)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_in_clear_is_told_by_its_name_and_how_to_mend_it(key, value, names):
    found = plain({key: value})

    assert len(found) == max(len(names), 1)
    for line, name in zip(found, names or [""], strict=True):
        assert line.startswith(
            f"sentient-mqtt:{key}.{name}: is in" if name else f"sentient-mqtt:{key}: is in"
        )
        assert "must be a secret" in line
        assert "repository's history" in line
        path = f'sentient-mqtt:{key}["{name or "NAME"}"]'
        assert f"pulumi config set --secret --path '{path}'" in line
        assert GOOD not in line
        assert "1234567890123456" not in line


def test_a_name_is_one_word_of_the_command():
    (line,) = plain({"passwords": {"o'\"x; id": GOOD}})
    command = line.partition("store it with ")[2].partition(" (it reads")[0]
    assert shlex.split(command)[-1] == 'sentient-mqtt:passwords["o\'\\"x; id"]'


def test_many_are_counted():
    found = plain({"passwords": {f"door{number}": GOOD for number in range(MOST + 3)}})
    assert len(found) == MOST + 1
    assert found[-1] == "sentient-mqtt:passwords: 3 more are in clear."
