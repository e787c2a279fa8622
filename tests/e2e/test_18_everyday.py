"""The everyday commands: watch, publish, logs, status, restart."""

import re
import threading
from pathlib import Path

import pytest
from patience import eventually
from typing_in_process import types_command

from cli.errors import CommandError
from cli.stack import Stack


@pytest.fixture(scope="module")
def everyday(make_site):
    site = make_site("everyday")
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


@pytest.fixture
def types(everyday, monkeypatch, capfd):
    """``types("watch", "admin", ...)``: run a command and return what it printed."""
    stack = Stack.parse("e2e", everyday.stack_file, everyday.stack_file.read_text())
    ready = type("Ready", (), {"outputs": lambda _: everyday.outputs()})()
    monkeypatch.setattr(Stack, "read", lambda _: stack)
    monkeypatch.setattr("cli.pulumi.Pulumi.ready", lambda _: ready)

    def run(*words):
        capfd.readouterr()
        types_command(*words)
        printed = capfd.readouterr()
        return printed.out + printed.err

    return run


def publish(types, user, topic, *more):
    return types("publish", user, topic, *more)


def test_watch_shows_what_another_user_published(types):
    printed = publish(types, "paragon_devices", "paragon/room/status/door", "open", "--retain")
    assert "accepted, not known to be retained (paragon_devices may not read it), no sub" in printed

    printed = types(*("watch", "sentient_api_prod", "paragon/#", "--count", "1"))

    assert printed == "paragon/room/status/door open\n"


def test_watch_shows_messages_that_arrive_later(everyday, types):
    """The broker acknowledges a message with "Success" only once somebody has subscribed."""
    printed: list[str] = []
    watching = threading.Thread(
        target=lambda: printed.append(types(*("watch", "admin", "paragon/live/#", "--count", "1")))
    )
    watching.start()
    with everyday.client("admin") as admin:
        eventually(lambda: admin.publish("paragon/live/x", "now") == "Success", 20)
    watching.join()
    assert printed == ["paragon/live/x now\n"]


def test_denied_publish_is_an_error(types):
    with pytest.raises(
        CommandError, match=r"did not accept it: Not authorized.*./brokerctl explain"
    ):
        publish(types, "paragon_devices", "paragon/room/commands/door")


def test_watch_warns_of_a_topic_that_the_user_may_not_read(everyday, types, capfd):
    ending = threading.Thread(target=_end, args=(everyday,))
    ending.start()
    with pytest.raises(CommandError, match="the connection ended"):
        types("watch", "paragon_devices", "private/#")
    ending.join()
    everyday.eventually_client("admin").close()

    assert "No rule lets paragon_devices receive anything of private/#" in capfd.readouterr().err


def _end(site):
    """Restart the broker once paragon_devices is connected."""
    eventually(lambda: "paragon_devices" in _last_connected(site), 20)
    site.docker("restart", "-t", "10", site.container)


def _last_connected(site):
    lines = site.docker("logs", "--tail", "5", site.container, check=False).splitlines()
    return [name for line in lines for name in re.findall(r"u'([^']*)'", line)][-1:]


def test_refused_login_is_an_error_with_its_reason(everyday, types):
    outputs = everyday.outputs()
    password = outputs["credentials"]["admin"]["password"]
    outputs["credentials"]["admin"]["password"] = "another"
    try:
        with pytest.raises(CommandError, match="refused the login of 'admin': Not authorized"):
            publish(types, "admin", "paragon/x")
    finally:
        outputs["credentials"]["admin"]["password"] = password


def test_logs_shows_the_log(types):
    publish(types, "admin", "paragon/x")

    assert "u'admin'" in types("logs", "--lines", "20")


def test_status_counts_connections_by_listener(everyday, types):
    with everyday.client("admin"), everyday.client("admin", websocket=True):
        printed = types("status")

    assert f"container {everyday.container}: running since " in printed
    assert re.search(r"^memory: [0-9.]+MiB / 2GiB; processor: [0-9.]+%$", printed, re.MULTILINE)
    counted = re.search(
        r"^connections: \d+ \(mqtt (\d+), websocket (\d+)\)$", printed, re.MULTILINE
    )
    assert counted is not None
    assert int(counted[1]) >= 1
    assert int(counted[2]) == 1
    assert "(the last 4 lines as sentient_monitor_prod)" in printed
    assert re.search(r"^kept: retained \d+, subscriptions \d+$", printed, re.MULTILINE)


def test_restart_keeps_messages_and_disconnects_once(everyday, types):
    kept = publish(types, "admin", "paragon/kept/x", "still here", "--retain")
    assert "accepted, retained, no subscribers now" in kept
    before = everyday.inspect()
    with everyday.client("admin") as client:
        printed = types("restart")
        assert client.disconnected is not None

    after = everyday.inspect()
    assert "Since then its health user has logged in" in printed
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
    printed = types(*("watch", "admin", "paragon/kept/#", "--count", "1"))
    assert printed == "paragon/kept/x still here\n"
    assert not Path(everyday.settings.broker.folders.data, ".before-start").exists()
    assert not Path(everyday.settings.broker.folders.data, ".rehearsal").exists()


def test_failed_restart_is_an_error_and_keeps_the_database(everyday, types):
    file = Path(everyday.settings.broker.folders.config) / "mosquitto.conf"
    before = file.read_text()
    file.write_text(f"nonsense true\n{before}")
    try:
        with pytest.raises(CommandError, match="its health user could not log in") as error:
            types("restart")
        assert "nonsense" in str(error.value)
        with pytest.raises(CommandError, match="not healthy"):
            types("status")
    finally:
        file.write_text(before)
    everyday.docker("start", everyday.container)
    everyday.eventually_client("admin").close()
    printed = types(*("watch", "admin", "paragon/kept/#", "--count", "1"))
    assert printed == "paragon/kept/x still here\n"


def test_no_command_shows_a_password(everyday, types):
    logins = everyday.outputs()["credentials"].values()
    printed = types("status") + publish(types, "admin", "paragon/x")
    assert not [login for login in logins if login["password"] in printed]
