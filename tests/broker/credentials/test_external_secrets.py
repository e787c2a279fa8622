"""Passwords and hashes in the secrets of a stack file: findings, which never quote a secret."""

import shlex
from datetime import UTC, datetime

import pytest
from declared import smallest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.env_files import SAFE_PUNCTUATION, host_env_file
from broker.credentials.external_secrets import (
    KEYS,
    MAX_NAMES,
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


def errors(*arguments):
    return list(one_line(secret_errors(*arguments)))


def warnings(*arguments):
    return list(one_line(secret_warnings(*arguments)))


def plain_text_errors(values):
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
def test_required_secrets_that_are_set_are_no_error(kind, secrets):
    assert errors(settings(kind), secrets, NOW) == []


@pytest.mark.parametrize(
    ("kind", "secrets", "path", "message"),
    [
        ("supplied", {}, "users.sensor.password", "pulumi config set --secret --path"),
        ("adopted", {}, "users.sensor.password", 'sentient-mqtt:hashes["sensor"]'),
        ("supplied", {"passwords": {"sensor": "fifteen letters"}}, "passwords.sensor", "15 char"),
        ("supplied", {"passwords": {"sensor": 1234567890123456}}, "passwords.sensor", "quotes"),
        ("supplied", {"passwords": {"sensor": f" {GOOD}"}}, "passwords.sensor", "space"),
        ("supplied", {"passwords": {"sensor": f"{GOOD}\n"}}, "passwords.sensor", "control"),
        ("adopted", {"hashes": {"sensor": HASH[:-3]}}, "hashes.sensor", "incomplete"),
        ("adopted", {"hashes": {"sensor": "plain text, long"}}, "hashes.sensor", "is not a hash"),
        ("supplied", {"passwords": GOOD}, "passwords", "must be an object"),
    ],
)
def test_missing_or_invalid_secret_is_named_by_its_path_and_not_quoted(
    kind, secrets, path, message
):
    lines = errors(settings(kind), secrets, NOW)

    assert lines
    assert lines[0].startswith(f"sentient-mqtt:{path}: ")
    assert message in lines[0]
    text = str(lines)
    for value in (
        *(GOOD, HASH, HASH[:-3], "fifteen letters", "1234567890123456", "plain text, long"),
    ):
        assert value not in text


@pytest.mark.parametrize(
    ("image", "accepted"), [("eclipse-mosquitto:2.0.22", False), ("eclipse-mosquitto:2.1.2", True)]
)
def test_hash_of_2_1_needs_an_image_of_2_1(image, accepted):
    raw = smallest()
    raw["users"]["sensor"]["password"] = "adopted"
    raw["broker"]["image"] = image
    long = "$7$1000$" + "A" * 86 + "==$" + "A" * 86 + "=="

    findings = secret_errors(Settings.parse(raw), {"hashes": {"sensor": long}}, NOW)

    assert [finding.path for finding in findings] == ["sentient-mqtt:hashes.sensor"] * (
        not accepted
    )


def test_env_file_of_a_user_with_an_adopted_password_is_an_error():
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
def test_password_that_a_reader_misreads_is_an_error_for_env_files_only(mark, readers):
    password = f"Correct{mark}horse4battery"

    (error,) = errors(supplied(**IN_FILES), {"passwords": {"sensor": password}}, NOW)

    assert error.startswith(
        f"sentient-mqtt:passwords.sensor: contains characters that {readers} would misread in an "
        "env file, and broker.envFiles[0] writes it to /etc/one.env, where it may contain only "
        f"letters, digits and {SAFE_PUNCTUATION}. Set another password: pulumi config set --secret "
        "--path 'sentient-mqtt:passwords[\"sensor\"]'"
    )
    assert "horse" not in error
    # Without an env file on the host, it is no error: the output `envFiles` omits the user.
    assert errors(supplied(), {"passwords": {"sensor": password}}, NOW) == []
    (warning,) = warnings(supplied(), {"passwords": {"sensor": password}}, NOW)
    assert warning.startswith(
        f"sentient-mqtt:passwords.sensor: contains characters that {readers} "
    )
    assert "the output 'envFiles' omits the user" in warning
    assert "horse" not in warning


def test_password_of_safe_characters_is_in_env_file_and_output():
    secrets = {"passwords": {"sensor": READABLE}}

    assert errors(supplied(**IN_FILES), secrets, NOW) == []
    assert list(warnings(supplied(**IN_FILES), secrets, NOW)) == []
    assert misread_in_env_files(supplied(), secrets) == {}


@pytest.mark.parametrize("password", ["$hort", "two\nlines of a password", 1234567890123456])
def test_invalid_password_is_one_error(password):
    assert len(errors(supplied(**IN_FILES), {"passwords": {"sensor": password}}, NOW)) == 1


@given(st.text(st.characters(codec="utf-8"), min_size=16))
def test_password_is_valid_exactly_if_the_env_file_can_be_rendered(password):
    declared = supplied(**IN_FILES)
    (file,) = declared.broker.env_files
    if errors(declared, {"passwords": {"sensor": password}}, NOW):
        with pytest.raises(ValueError, match="MQTT_PASSWORD"):
            host_env_file(declared.broker, "prod", file, "sensor", password)
    else:
        text = host_env_file(declared.broker, "prod", file, "sensor", password).text
        assert text.endswith(f"\nMQTT_PASSWORD={password}\n")


def test_unused_secret_is_a_warning():
    secrets = {"hashes": {"sensor": HASH, "gone": HASH}}

    assert required_secrets(settings("adopted"), secrets, "adopted") == {"sensor": HASH}
    assert list(warnings(settings("adopted"), secrets, NOW)) == [
        "sentient-mqtt:hashes: unused, as no user with password 'adopted' has the name: gone."
    ]
    # After a rotation the password is generated.
    assert required_secrets(settings("generated"), secrets, "adopted") == {}
    assert errors(settings("generated"), secrets, NOW) == []
    (warning,) = warnings(settings("generated"), secrets, NOW)
    assert "gone, sensor" in warning
    assert HASH not in warning


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
def test_encrypted_values_are_no_error(key, value):
    assert plain_text_errors({key: value, "users": {"sensor": {"password": "supplied"}}}) == []


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"sensor": GOOD}, ["sensor"]),
        ({"lamp": ENCRYPTED, "sensor": GOOD}, ["sensor"]),
        ({"sensor": {"old": GOOD}}, ["sensor"]),
        ({"sensor": [ENCRYPTED, GOOD]}, ["sensor"]),
        ({"sensor": 1234567890123456}, ["sensor"]),
        # A single JSON text: nothing in it is encrypted, not even below `secure`.
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
def test_plain_text_secret_is_named_with_the_command_that_encrypts_it(key, value, names):
    lines = plain_text_errors({key: value})

    assert len(lines) == max(len(names), 1)
    for line, name in zip(lines, names or [""], strict=True):
        assert line.startswith(
            f"sentient-mqtt:{key}.{name}: is in" if name else f"sentient-mqtt:{key}: is in"
        )
        assert "must be a secret" in line
        assert "repository's history" in line
        path = f'sentient-mqtt:{key}["{name or "NAME"}"]'
        assert f"pulumi config set --secret --path '{path}'" in line
        assert GOOD not in line
        assert "1234567890123456" not in line


def test_name_is_quoted_for_the_shell():
    (line,) = plain_text_errors({"passwords": {"o'\"x; id": GOOD}})
    command = line.partition("store it with ")[2].partition(" (it reads")[0]
    assert shlex.split(command)[-1] == 'sentient-mqtt:passwords["o\'\\"x; id"]'


def test_long_list_of_plain_text_secrets_is_abbreviated():
    lines = plain_text_errors(
        {"passwords": {f"door{number}": GOOD for number in range(MAX_NAMES + 3)}}
    )
    assert len(lines) == MAX_NAMES + 1
    assert lines[-1] == "sentient-mqtt:passwords: 3 more are in plain text."
