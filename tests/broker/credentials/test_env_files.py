"""Logins as URLs, env files and C headers; the readers of env files: test_env_file_readers.py."""

from urllib.parse import unquote, urlsplit

import pytest
from declared import settings_of, smallest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.env_files import (
    MISREAD,
    READERS,
    SAFE_PUNCTUATION,
    endpoints,
    env_file_mark,
    host_env_file,
    login,
    login_url,
    misreaders,
    render_env,
    render_header,
    why_misread,
)
from broker.credentials.fleets import ALPHABET
from broker.settings.stack_settings import Settings
from components.credentials import SPECIAL

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}", fullmatch=True)


def broker_at(address="192.168.2.3", **keys):
    return Settings.parse(smallest(address=address, **keys)).broker


BROKER = broker_at()
LISTENER = BROKER.listeners["mqtt"]


def test_endpoints_of_prod():
    assert endpoints(settings_of("prod").broker) == {
        "mqtt": "mqtt://192.168.2.3:1883",
        "websocket": "ws://192.168.2.3:9001",
    }


def test_ipv6_address_has_brackets_in_urls_only():
    broker = broker_at("fd00::5")

    assert endpoints(broker) == {"mqtt": "mqtt://[fd00::5]:1883"}
    assert "MQTT_HOST=fd00::5\n" in render_env(broker, broker.listeners["mqtt"], "a", "b")


@given(NAMES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_url_encodes_user_and_password(user, password):
    url = urlsplit(login_url(BROKER, LISTENER, user, password))

    assert unquote(url.username or "") == user
    assert unquote(url.password or "") == password
    assert (url.scheme, url.hostname, url.port) == ("mqtt", "192.168.2.3", 1883)


def test_login_has_user_name_password_and_url():
    assert login(BROKER, LISTENER, "api@site", "p@ss/word") == {
        "username": "api@site",
        "password": "p@ss/word",
        "url": "mqtt://api%40site:p%40ss%2Fword@192.168.2.3:1883",
    }


def test_env_file_has_the_variables_and_a_url_without_password():
    assert render_env(BROKER, LISTENER, "sensor", "s3cret") == (
        "MQTT_URL=mqtt://192.168.2.3:1883\n"
        "MQTT_HOST=192.168.2.3\n"
        "MQTT_PORT=1883\n"
        "MQTT_USERNAME=sensor\n"
        "MQTT_PASSWORD=s3cret\n"
    )


@pytest.mark.parametrize("mark", [*MISREAD, "\n", "\t", "\x7f"])
def test_password_that_a_reader_would_misread_is_an_error_without_the_password(mark):
    with pytest.raises(ValueError, match=r"^MQTT_PASSWORD contains characters") as raised:
        render_env(BROKER, LISTENER, "sensor", f"s3cret{mark}Word")

    assert "s3cret" not in str(raised.value)
    for name in MISREAD.get(mark, READERS):
        assert READERS[name] in str(raised.value)


def test_misreaders_of_a_value():
    assert misreaders(f"Aa0{SAFE_PUNCTUATION}") == ()
    assert misreaders("Äpfel€日本") == ()
    assert misreaders("a;b") == ("sh",)
    assert misreaders("a\\b") == ("sh", "systemd")
    # In the order of READERS, without duplicates.
    assert misreaders("a\\b;c$d") == ("sh", "compose", "systemd", "python-dotenv")
    assert why_misread(("sh",)) == ("contains characters that sh would misread in an env file")
    assert " sh, systemd and python-dotenv " in why_misread(("sh", "systemd", "python-dotenv"))


def test_generated_passwords_have_safe_characters_only():
    assert set(SPECIAL) <= set(SAFE_PUNCTUATION)
    assert ALPHABET.isalnum()


def test_host_env_files_are_as_declared():
    broker = Settings.parse(
        smallest(
            listeners={
                "mqtt": {"port": 1883},
                "web": {"port": 9001, "protocol": "websockets"},
            },
            envFiles=[
                {"path": "/etc/one.env", "user": "sensor"},
                {"path": "/etc/two.env", "user": "sensor", "listener": "web", "owner": {"uid": 7}},
            ],
        )
    ).broker

    first, second = (
        host_env_file(broker, "prod", file, file.user, "s3cret") for file in broker.env_files
    )

    assert (first.path, first.mode, first.owner.uid, first.owner.gid) == (
        "/etc/one.env",
        "0600",
        0,
        0,
    )
    assert "MQTT_URL=mqtt://broker.example.org:1883\n" in first.text
    assert (second.path, second.owner.uid) == ("/etc/two.env", 7)
    assert "MQTT_URL=ws://broker.example.org:9001\n" in second.text


def test_host_env_file_begins_with_the_mark_of_its_stack():
    broker = settings_of("prod").broker
    file = host_env_file(broker, "prod", broker.env_files[0], "sentient_api_prod", "x")

    assert file.text.startswith(env_file_mark("prod") + "\n")
    assert env_file_mark("prod") != env_file_mark("dev")
    assert "\n" not in env_file_mark("prod")


@pytest.mark.parametrize("password", ['a"b', "a\\b", 'a"; system("x"); //'])
def test_c_header_escapes_the_password(password):
    text = render_header(BROKER, LISTENER, "sensor", password)

    (line,) = [line for line in text.splitlines() if "MQTT_PASSWORD" in line]
    literal = line.removeprefix("#define MQTT_PASSWORD ")
    assert literal[0] == literal[-1] == '"'
    # The inverse of the two escapes that the header uses.
    assert literal[1:-1].replace('\\"', '"').replace("\\\\", "\\") == password
    assert text.startswith("// ")
    assert "#define MQTT_PORT 1883\n" in text
