"""A running broker loads changed files, other clients stay, and invalid files change nothing."""

import pytest
from mqtt import DENIED, login_error

from broker.settings.stack_settings import Settings


@pytest.fixture
def running(start):
    return start()


def _with_users(running, change):
    """Return the settings of *running* with other users."""
    raw = running.settings.model_dump(mode="json", by_alias=True)
    change(raw["users"])
    return Settings.parse(raw)


def test_changes_take_effect_and_unaffected_clients_stay(running):
    with (
        running.client("admin") as unaffected,
        running.client("sentient_monitor_prod", websocket=True) as unaffected_too,
        running.client("paragon_devices") as narrowed,
        running.client("sentient_api_prod") as rotated,
        running.client("sentient_executor_prod") as removed,
    ):
        unaffected.subscribe("#")
        before = unaffected.local_port
        assert narrowed.publish("paragon/room/events/x", "before") == "Success"
        old_password = running.passwords["sentient_api_prod"]

        def change(users):
            users["paragon_devices"]["write"] = ["paragon/+/sensors/#"]
            del users["sentient_executor_prod"]
            users["newcomer"] = {"write": ["paragon/+/news"]}

        running.settings = _with_users(running, change)
        del running.passwords["sentient_executor_prod"]
        running.passwords |= {"newcomer": "of-the-newcomer", "sentient_api_prod": "rotated-once"}
        running.generations["sentient_api_prod"] = "2"
        done = running.put_files()
        assert done.returncode == 0, done.stderr

        assert rotated.is_dropped()
        assert removed.is_dropped()
        assert login_error(running.port, "sentient_api_prod", old_password) == "Not authorized"
        running.client("sentient_api_prod").close()
        with running.client("newcomer") as newcomer:
            assert newcomer.publish("paragon/room/news", "hello") == "Success"
            assert newcomer.publish("paragon/room/events/x") == DENIED
        unaffected.got("paragon/room/news", "hello")

        # Its rights were narrowed, and it is still connected.
        assert narrowed.publish("paragon/room/events/x", "after") == DENIED
        assert narrowed.publish("paragon/room/sensors/x", "after") == "Success"
        unaffected.got("paragon/room/sensors/x", "after")
        assert "after" not in [
            message.text
            for message in unaffected.received
            if message.topic == "paragon/room/events/x"
        ]
        assert unaffected.disconnected is None
        assert unaffected.local_port == before
        assert unaffected_too.disconnected is None


def test_unchanged_files_do_not_signal_the_broker(running):
    before = running.log().count("Reloading config")
    assert running.put_files().returncode == 0
    assert running.log().count("Reloading config") == before


BAD_RULES = {
    "an unknown keyword": "user admin\nbroken\n",
    "an invalid filter": "user admin\ntopic readwrite a/#/b\n",
    "an unknown access": "user admin\ntopic everything #\n",
}


@pytest.mark.parametrize("acl", BAD_RULES.values(), ids=BAD_RULES)
def test_invalid_rules_do_not_reach_the_running_broker(running, acl, line):
    before = running.files()
    reloads = running.log().count("Reloading config")
    with running.client("admin") as unaffected:
        done = running.put_files(acl=acl)
        assert unaffected.disconnected is None
    assert done.returncode != 0
    assert "Mosquitto refuses the new files; nothing was changed. It said:" in done.stderr
    assert "acl" in done.stderr
    assert running.log().count("Reloading config") == reloads
    for password in running.passwords.values():
        assert password not in done.stderr
    assert running.files() == before

    # 2.0 would drop every rule, and 2.1 would exit: both serve with the previous rules.
    running.await_answer()
    with running.client("admin") as observer, running.client("paragon_devices") as device:
        observer.subscribe("#")
        assert device.publish("paragon/room/commands/x", "forbidden") == DENIED
        assert device.publish("elsewhere", "forbidden") == DENIED
        device.subscribe("#")
        observer.publish("paragon/room/sensors/x", "not for devices")
        observer.publish("paragon/room/commands/x", "for devices")
        device.got("paragon/room/commands/x", "for devices")
        assert {message.text for message in device.received} == {"for devices"}
        assert device.publish("paragon/room/status/x", "last") == "Success"
        observer.got("paragon/room/status/x", "last")
        assert "forbidden" not in {message.text for message in observer.received}
    assert line in running.image

    # The next valid change is applied.
    running.passwords["admin"] = "rotated-after-all"
    running.generations["admin"] = "2"
    assert running.put_files().returncode == 0
    running.client("admin").close()


def test_stopped_broker_gets_the_files_without_a_reload(running, docker):
    docker("stop", "--time", "10", running.broker.container)
    running.passwords["admin"] = "while-it-was-down"
    running.generations["admin"] = "2"
    assert running.put_files().returncode == 0
    docker("start", running.broker.container)
    running.await_answer()
    running.client("admin").close()
