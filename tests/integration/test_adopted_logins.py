"""Adopted users log in to a real Mosquitto with their previous passwords and rights."""

import pytest
from conftest import SUITES
from mqtt import DENIED, Client, login_error

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import adopt
from broker.settings.stack_settings import Settings

PASSWORDS = {"old": "from before 2.0", "newer": "in use for years"}
CONF = """\
listener 1883
allow_anonymous false
password_file /mosquitto/config/passwd
acl_file /mosquitto/config/acl
"""
ACL = (
    "# by hand\r\n"
    "user old\r\n"
    "topic read paragon/+/status/#\r\n"
    "\r\n"
    "user newer\r\n"
    "topic paragon/#\r\n"
    "topic deny paragon/private/#\r\n"
)


@pytest.fixture(scope="module")
def passwd(docker, fallback_image):
    """Return a password file of mosquitto_passwd with both of its hash formats."""
    script = (
        'mosquitto_passwd -H sha512 -c -b /tmp/p old "$1" && '
        'mosquitto_passwd -H sha512-pbkdf2 -b /tmp/p newer "$2" && cat /tmp/p'
    )
    return docker(
        *("run", "--rm", "--network", "none", "--user", "0:0", "--tmpfs", "/tmp"),
        *("--entrypoint", "/bin/sh", fallback_image(SUITES["2.0"])),
        *("-c", script, "sh", PASSWORDS["old"], PASSWORDS["newer"]),
    )


@pytest.fixture(scope="module")
def running(start, passwd):
    """Return a broker with the users and rules of the adopted files."""
    assert "old:$6$" in passwd
    assert "newer:$7$" in passwd
    texts = {"mosquitto.conf": CONF, "passwd": passwd, "acl": ACL}
    place = Place(address="127.0.0.1", config="/opt/by-hand/config")
    adoption = adopt("mosquitto.conf", texts, place)
    running = start()
    raw = running.settings.model_dump(mode="json", by_alias=True)
    running.settings = Settings.parse(
        {"broker": raw["broker"] | {"envFiles": []}, "users": adoption.settings["users"]}
    )
    health = running.broker.health.user
    running.passwords = {health: running.passwords[health]}
    running.hashes = dict(adoption.hashes)
    done = running.put_files()
    assert done.returncode == 0, done.stderr
    return running


def test_users_log_in_with_their_previous_password(running):
    for name, password in PASSWORDS.items():
        Client(running.port, name, password).close()


def test_other_passwords_are_refused(running):
    for name in PASSWORDS:
        assert login_error(running.port, name, "another") == "Not authorized"


def test_users_have_exactly_their_previous_rights(running):
    with (
        Client(running.port, "newer", PASSWORDS["newer"]) as newer,
        Client(running.port, "old", PASSWORDS["old"]) as old,
    ):
        old.subscribe("#")
        assert newer.publish("paragon/private/x", "denied") == DENIED
        assert newer.publish("elsewhere", "no rule") == DENIED
        assert newer.publish("paragon/room/events/x", "not for old") != DENIED
        assert newer.publish("paragon/room/status/x", "for old") == "Success"
        old.got("paragon/room/status/x", "for old")
        assert {message.text for message in old.received} == {"for old"}
        assert old.publish("paragon/room/status/x") == DENIED
