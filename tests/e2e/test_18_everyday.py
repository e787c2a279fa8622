"""A broker is watched, spoken to, looked at and restarted, as one does every day."""

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
    """``types("watch", "admin", ...)``: what the command printed."""
    stack = Stack.parse("e2e", everyday.stack_file, everyday.stack_file.read_text())
    ready = type("Ready", (), {"outputs": lambda _: everyday.outputs()})()
    monkeypatch.setattr(Stack, "read", lambda _: stack)
    monkeypatch.setattr("cli.pulumi.Pulumi.ready", lambda _: ready)

    def type_(*words):
        capfd.readouterr()
        types_command(*words)
        said = capfd.readouterr()
        return said.out + said.err

    return type_


def publish(types, user, topic, *more):
    return types("publish", user, topic, *more)


def test_what_one_user_publishes_another_watches(types):
    said = publish(types, "paragon_devices", "paragon/room/status/door", "open", "--retain")
    assert "accepted, retained, no subscribers now" in said

    seen = types(*("watch", "sentient_api_prod", "paragon/#", "--count", "1"))

    assert seen == "paragon/room/status/door open\n"


def test_what_comes_while_one_watches_is_seen(everyday, types):
    """Whoever watches is connected first: the broker says so of the message that follows."""
    seen: list[str] = []
    watching = threading.Thread(
        target=lambda: seen.append(types(*("watch", "admin", "paragon/live/#", "--count", "1")))
    )
    watching.start()
    with everyday.client("admin") as admin:
        eventually(lambda: admin.publish("paragon/live/x", "now") == "Success", 20)
    watching.join()
    assert seen == ["paragon/live/x now\n"]


def test_a_message_that_no_rule_grants_is_not_lost_in_silence(types):
    message = r"did not accept it: Not authorized.*./brokerctl explain"
    with pytest.raises(CommandError, match=message):
        publish(types, "paragon_devices", "paragon/room/commands/door")


def test_a_topic_that_holds_nothing_for_the_user_is_told_of(everyday, types, capfd):
    ending = threading.Thread(target=_end, args=(everyday,))
    ending.start()
    with pytest.raises(CommandError, match="the connection ended"):
        types("watch", "paragon_devices", "private/#")
    ending.join()
    everyday.until_in("admin").close()

    assert "No rule lets paragon_devices receive anything of private/#" in capfd.readouterr().err


def _end(site):
    """End the connections once somebody watches."""
    eventually(lambda: "paragon_devices" in _last_connected(site), 20)
    site.docker("restart", "-t", "10", site.container)


def _last_connected(site):
    lines = site.docker("logs", "--tail", "5", site.container, check=False).splitlines()
    return [name for each in lines for name in re.findall(r"u'([^']*)'", each)][-1:]


def test_a_client_that_is_refused_is_told_why(everyday, types):
    outputs = everyday.outputs()
    right = outputs["credentials"]["admin"]["password"]
    outputs["credentials"]["admin"]["password"] = "another"
    try:
        with pytest.raises(CommandError, match="refused the login of 'admin': Not authorized"):
            publish(types, "admin", "paragon/x")
    finally:
        outputs["credentials"]["admin"]["password"] = right


def test_its_log_is_shown(types):
    publish(types, "admin", "paragon/x")

    assert "u'admin'" in types("logs", "--lines", "20")


def test_its_status_counts_who_is_there(everyday, types):
    with everyday.client("admin"), everyday.client("admin", websocket=True):
        said = types("status")

    assert f"container {everyday.container}: running since " in said
    assert re.search(r"^memory: [0-9.]+MiB / 2GiB; processor: [0-9.]+%$", said, re.MULTILINE)
    counted = re.search(r"^connections: \d+ \(mqtt (\d+), websocket (\d+)\)$", said, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) >= 1
    assert int(counted[2]) == 1
    assert "(the last 4 lines as sentient_monitor_prod)" in said
    assert re.search(r"^kept: retained \d+, subscriptions \d+$", said, re.MULTILINE)


def test_a_restart_keeps_what_it_knew_and_disconnects_once(everyday, types):
    publish(types, "admin", "paragon/kept/x", "still here", "--retain")
    before = everyday.inspect()
    with everyday.client("admin") as client:
        said = types("restart")
        assert client.disconnected is not None

    after = everyday.inspect()
    assert "It accepts its health user" in said
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] != before["State"]["StartedAt"]
    seen = types(*("watch", "admin", "paragon/kept/#", "--count", "1"))
    assert seen == "paragon/kept/x still here\n"
    assert not Path(everyday.settings.broker.folders.data, ".before-start").exists()
    assert not Path(everyday.settings.broker.folders.data, ".rehearsal").exists()


def test_a_restart_that_fails_says_so_and_the_database_is_kept(everyday, types):
    file = Path(everyday.settings.broker.folders.config) / "mosquitto.conf"
    right = file.read_text()
    file.write_text(f"nonsense true\n{right}")
    try:
        with pytest.raises(CommandError, match="its health user could not log in") as told:
            types("restart")
        assert "nonsense" in str(told.value)
        with pytest.raises(CommandError, match="not healthy"):
            types("status")
    finally:
        file.write_text(right)
    everyday.docker("start", everyday.container)
    everyday.until_in("admin").close()
    seen = types(*("watch", "admin", "paragon/kept/#", "--count", "1"))
    assert seen == "paragon/kept/x still here\n"


def test_no_command_shows_a_password(everyday, types):
    passwords = [each["password"] for each in everyday.outputs()["credentials"].values()]
    said = types("status") + publish(types, "admin", "paragon/x")
    assert not [each for each in passwords if each in said]
