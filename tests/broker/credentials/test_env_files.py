"""A login as URLs, env files and headers have it. Who reads env files: test_env_readers.py."""

from urllib.parse import unquote, urlsplit

import pytest
from declared import settings_of, smallest
from hypothesis import given
from hypothesis import strategies as st

from broker.credentials.env_files import (
    MISREAD,
    READ_ALIKE,
    READERS,
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


def broker_at(address="192.168.2.3", **parts):
    return Settings.parse(smallest(address=address, **parts)).broker


BROKER = broker_at()
LISTENER = BROKER.listeners["mqtt"]


def test_prods_endpoints_are_the_seeds():
    assert endpoints(settings_of("prod").broker) == {
        "mqtt": "mqtt://192.168.2.3:1883",
        "websocket": "ws://192.168.2.3:9001",
    }


def test_an_ipv6_address_stands_in_brackets_in_a_url_and_without_them_elsewhere():
    broker = broker_at("fd00::5")

    assert endpoints(broker) == {"mqtt": "mqtt://[fd00::5]:1883"}
    assert "MQTT_HOST=fd00::5\n" in render_env(broker, broker.listeners["mqtt"], "a", "b")


@given(NAMES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_url_gives_back_the_user_and_password_that_went_in(user, password):
    parts = urlsplit(login_url(BROKER, LISTENER, user, password))

    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert (parts.scheme, parts.hostname, parts.port) == ("mqtt", "192.168.2.3", 1883)


def test_a_login_is_user_password_and_url():
    assert login(BROKER, LISTENER, "api@site", "p@ss/word") == {
        "username": "api@site",
        "password": "p@ss/word",
        "url": "mqtt://api%40site:p%40ss%2Fword@192.168.2.3:1883",
    }


def test_an_env_file_names_the_seeds_variables_and_keeps_the_password_out_of_the_url():
    assert render_env(BROKER, LISTENER, "sensor", "s3cret") == (
        "MQTT_URL=mqtt://192.168.2.3:1883\n"
        "MQTT_HOST=192.168.2.3\n"
        "MQTT_PORT=1883\n"
        "MQTT_USERNAME=sensor\n"
        "MQTT_PASSWORD=s3cret\n"
    )


@pytest.mark.parametrize("mark", [*MISREAD, "\n", "\t", "\x7f"])
def test_a_password_that_a_reader_would_misread_is_never_rendered(mark):
    with pytest.raises(ValueError, match=r"^MQTT_PASSWORD holds characters that ") as refused:
        render_env(BROKER, LISTENER, "sensor", f"s3cret{mark}Word")

    assert "s3cret" not in str(refused.value)
    for name in MISREAD.get(mark, READERS):
        assert READERS[name] in str(refused.value)


def test_what_is_misread_is_told_by_its_readers_alone():
    assert misreaders(f"Aa0{READ_ALIKE}") == ()
    assert misreaders("Äpfel€日本") == ()
    assert misreaders("a;b") == ("sh",)
    assert misreaders("a\\b") == ("sh", "systemd")
    # In the order of READERS, each once.
    assert misreaders("a\\b;c$d") == ("sh", "compose", "systemd", "python-dotenv")
    assert why_misread(("sh",)).startswith("holds characters that sh would not read ")
    assert " sh, systemd and python-dotenv " in why_misread(("sh", "systemd", "python-dotenv"))


def test_passwords_are_generated_from_what_all_read_alike():
    assert set(SPECIAL) <= set(READ_ALIKE)
    assert ALPHABET.isalnum()


def test_the_files_on_the_host_are_those_that_the_stack_file_names():
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

    one, two = (
        host_env_file(broker, "prod", each, each.user, "s3cret") for each in broker.env_files
    )

    assert (one.path, one.mode, one.owner.uid, one.owner.gid) == ("/etc/one.env", "0600", 0, 0)
    assert "MQTT_URL=mqtt://broker.example.org:1883\n" in one.text
    assert (two.path, two.owner.uid) == ("/etc/two.env", 7)
    assert "MQTT_URL=ws://broker.example.org:9001\n" in two.text


def test_a_file_begins_with_the_line_that_tells_ours_from_somebody_elses():
    broker = settings_of("prod").broker
    file = host_env_file(broker, "prod", broker.env_files[0], "sentient_api_prod", "x")

    assert file.text.startswith(env_file_mark("prod") + "\n")
    assert env_file_mark("prod") != env_file_mark("dev")
    assert "\n" not in env_file_mark("prod")


@pytest.mark.parametrize("password", ['a"b', "a\\b", 'a"; system("x"); //'])
def test_a_firmware_header_holds_a_password_as_c_reads_it(password):
    text = render_header(BROKER, LISTENER, "sensor", password)

    (line,) = [each for each in text.splitlines() if "MQTT_PASSWORD" in each]
    literal = line.removeprefix("#define MQTT_PASSWORD ")
    assert literal[0] == literal[-1] == '"'
    # What C's two escapes that we use stand for.
    assert literal[1:-1].replace('\\"', '"').replace("\\\\", "\\") == password
    assert text.startswith("// ")
    assert "#define MQTT_PORT 1883\n" in text
