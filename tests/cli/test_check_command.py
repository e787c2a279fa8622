"""How `./brokerctl check` asks, and what its exit code says."""

import pytest

import cli.check
from broker.checks.observations import LET_IN, REFUSED
from broker.host.facts import HostFacts
from cli.exit_codes import finish
from cli.refusals import Refusal

UP = {
    "credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}},
    "fleetSeeds": {"teensy": "a seed"},
    "image": "image:1",
}
FLEET = """  sentient-mqtt:fleets:
    teensy: {count: 3, prefix: teensy-, write: ['paragon/%u/sensors/#']}
"""


@pytest.fixture
def asked(desk, monkeypatch):
    """Who tried to log in, as whom and with what; the broker knows one password and refuses."""
    tried: list[tuple[str | None, str | None]] = []

    def login(_host, _listener, user, password, _ca=""):
        tried.append((user, password))
        known = user == "sensor" and password == "s3cret"
        return LET_IN if known or str(user).startswith("teensy-") else f"{REFUSED}: not authorized"

    monkeypatch.setattr(cli.check, "login", login)
    monkeypatch.setattr(cli.check, "look", lambda _: HostFacts(facts={}))
    monkeypatch.setattr(cli.check, "address_towards", lambda *_: "192.168.2.9")
    desk.outputs = UP
    desk.pulumi("exit 0")
    return tried


def test_it_logs_in_as_everybody_as_nobody_and_with_a_wrong_password(desk, asked, capsys):
    desk.write(FLEET)
    desk.run("check")

    assert (None, None) in asked
    assert ("sensor", "s3cret") in asked
    assert [each for each in asked if each[0] == "sensor" and each[1] != "s3cret"]
    # One member stands for its fleet.
    assert [user for user, _ in asked if str(user).startswith("teensy")] == ["teensy-001"]
    said = capsys.readouterr().out
    assert "2 of 2 let in" in said
    assert "mqtt, a wrong password: refused: not authorized" in said
    assert "s3cret" not in said


def test_a_guess_is_another_one_each_time(desk, asked):
    desk.run("check")
    desk.run("check")

    guesses = [each for user, each in asked if user == "sensor" and each != "s3cret"]
    assert len(guesses) == len(set(guesses)) == 2


def test_a_point_that_failed_is_another_exit_code_than_no_answer(desk, asked, monkeypatch, capsys):
    monkeypatch.setattr(cli.check, "login", lambda *_: LET_IN)
    with pytest.raises(SystemExit) as failed:
        finish(lambda: desk.run("check"))
    assert failed.value.code == 1
    assert "points failed: anonymous" in capsys.readouterr().err

    def unreachable(_):
        raise Refusal("host ssh://x: it can't be reached")

    monkeypatch.setattr(cli.check, "look", unreachable)
    with pytest.raises(SystemExit) as silent:
        finish(lambda: desk.run("check"))
    assert silent.value.code == 2
    assert "error: host ssh://x: it can't be reached" in capsys.readouterr().err


def test_an_env_file_of_before_that_readers_misread_is_a_fault(desk, asked, monkeypatch, capsys):
    desk.write(envFiles=[{"path": "/etc/one.env", "user": "sensor"}])
    facts = {("file", "/etc/one.env"): "600 0 0 0 180", ("digest", "/etc/one.env"): "0" * 64}
    monkeypatch.setattr(cli.check, "look", lambda _: HostFacts(facts=facts))
    login = {"username": "sensor", "password": "a $ecret of two words"}
    desk.outputs = UP | {"credentials": {"sensor": login}}
    desk.pulumi("exit 0")

    with pytest.raises(SystemExit) as failed:
        finish(lambda: desk.run("check"))

    assert failed.value.code == 1
    said, complained = capsys.readouterr()
    assert "env files" in complained
    assert "/etc/one.env: MQTT_URL or another line is not the declared one" in said
    assert "$ecret" not in said
