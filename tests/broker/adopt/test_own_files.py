"""A broker of this program is adopted without the logins and the listener for checks."""

import pytest
from declared import settings_of, stack_file

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import adopt
from broker.adopt.own_files import HEALTH_OPTIONS, WithoutOwnParts
from broker.credentials.password_hashes import hash_password
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.canary import NAME as CANARY
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.stack_settings import Settings

HASH = hash_password("s3cret", bytes(12), 101)
PLACE = Place(address="192.168.2.3", config="/srv/config", container="mqtt", data=None, log=None)


def files(settings, *, reserved=True):
    broker = settings.broker
    names = [*settings.users, broker.health.user, CANARY]
    return {
        broker.files.conf: render_conf(broker, reserved=reserved),
        broker.files.passwords: "".join(f"{name}:{HASH}\n" for name in names),
        broker.files.acl: render_acl(settings),
        HEALTH_OPTIONS: f"-u {broker.health.user}\n-P s3cret\n",
    }


@pytest.mark.parametrize("reserved", [True, False])
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_users_rules_and_listeners_are_those_of_the_stack_file(stack, reserved):
    settings = settings_of(stack)
    texts = WithoutOwnParts("mosquitto.conf", files(settings, reserved=reserved))

    adopted = Settings.parse(adopt("mosquitto.conf", texts, PLACE).settings)

    assert set(adopted.users) == set(settings.users)
    for name, user in settings.users.items():
        rules = adopted.users[name]
        assert adopted.users[name].password == "adopted"
        assert (rules.read, rules.write) == (user.read, user.write)
        assert (rules.readwrite, rules.deny) == (user.readwrite, user.deny)
    ports = {listener.port for listener in settings.broker.listeners.values()}
    assert {listener.port for listener in adopted.broker.listeners.values()} == ports


def test_another_health_user_is_recognized():
    raw = stack_file("dev")
    raw["broker"]["health"] = {"user": "probe"}
    raw["expect"] = []
    settings = Settings.parse(raw)

    texts = WithoutOwnParts("mosquitto.conf", files(settings))

    assert "probe" not in texts["mosquitto_passwd"]
    assert "probe" not in texts["mosquitto.acl"]


def test_the_numbers_of_lines_and_all_other_lines_stay():
    before = files(settings_of("prod"))

    after = WithoutOwnParts("mosquitto.conf", before)

    assert after.own
    assert list(after) == list(before)
    assert len(after) == len(before)
    for name in before:
        changed = dict(enumerate(after[name].split("\n")))
        for number, line in enumerate(before[name].split("\n")):
            assert changed[number] in (line, "")


def test_files_of_another_program_are_unchanged():
    """Also if they have a user of that name, or a listener like that one."""
    texts = {
        "mosquitto.conf": "listener 1883 127.0.0.1\nprotocol mqtt\nmax_connections 10\n"
        "password_file /m/mosquitto_passwd\nacl_file /m/mosquitto.acl\n",
        "mosquitto_passwd": f"healthcheck:{HASH}\n",
        "mosquitto.acl": "user healthcheck\ntopic read a\n",
    }

    found = WithoutOwnParts("mosquitto.conf", texts)
    assert dict(found) == texts
    assert not found.own


def test_a_folder_without_the_file_is_read_as_it_is():
    assert dict(WithoutOwnParts("mosquitto.conf", {"other.conf": "x"})) == {"other.conf": "x"}
