"""`./brokerctl check`: the logins that it tries, and its exit codes."""

import pytest

import cli.observe.check
from broker.checks.observations import LET_IN, REFUSED
from broker.host.facts import HostFacts
from cli.errors import CommandError
from cli.exit_codes import finish

UP = {
    "credentials": {"sensor": {"username": "sensor", "password": "s3cret", "url": ""}},
    "fleetSeeds": {"teensy": "a seed"},
    "image": "image:1",
}
FLEET = """  sentient-mqtt:fleets:
    teensy: {count: 3, prefix: teensy-, write: ['paragon/%u/sensors/#']}
"""


@pytest.fixture
def tried(desk, monkeypatch):
    """The user and password of each tried login; the broker accepts one password."""
    attempts: list[tuple[str | None, str | None]] = []

    def login(_broker, _listener, credential, _ca=""):
        user, password = credential or (None, None)
        attempts.append((user, password))
        known = user == "sensor" and password == "s3cret"
        return LET_IN if known or str(user).startswith("teensy-") else f"{REFUSED}: not authorized"

    monkeypatch.setattr(cli.observe.check, "try_login", login)
    monkeypatch.setattr(cli.observe.check, "read_host_facts", lambda _: HostFacts(facts={}))
    monkeypatch.setattr(cli.observe.check, "address_towards", lambda *_: "192.168.2.9")
    desk.outputs = UP
    desk.pulumi("exit 0")
    return attempts


def test_it_tries_every_user_no_user_and_a_wrong_password(desk, tried, capsys):
    desk.write(FLEET)
    desk.run("check")

    assert (None, None) in tried
    assert ("sensor", "s3cret") in tried
    assert [user for user, password in tried if user == "sensor" and password != "s3cret"]
    # One login is tried per fleet.
    assert [user for user, _ in tried if str(user).startswith("teensy")] == ["teensy-001"]
    out = capsys.readouterr().out
    assert "2 of 2 let in" in out
    assert "mqtt, a wrong password: refused: not authorized" in out
    assert "s3cret" not in out


def test_the_wrong_password_differs_in_each_run(desk, tried):
    desk.run("check")
    desk.run("check")

    guesses = [password for user, password in tried if user == "sensor" and password != "s3cret"]
    assert len(guesses) == len(set(guesses)) == 2


def test_a_failed_check_exits_with_1_and_an_unreachable_host_2(desk, tried, monkeypatch, capsys):
    monkeypatch.setattr(cli.observe.check, "try_login", lambda *_: LET_IN)
    with pytest.raises(SystemExit) as failed:
        finish(lambda: desk.run("check"))
    assert failed.value.code == 1
    assert "checks failed: anonymous" in capsys.readouterr().err

    def unreachable(_):
        raise CommandError("host ssh://x: it can't be reached")

    monkeypatch.setattr(cli.observe.check, "read_host_facts", unreachable)
    with pytest.raises(SystemExit) as silent:
        finish(lambda: desk.run("check"))
    assert silent.value.code == 2
    assert "error: host ssh://x: it can't be reached" in capsys.readouterr().err


def test_an_env_file_with_a_misread_password_is_a_failed_check(desk, tried, monkeypatch, capsys):
    desk.write(envFiles=[{"path": "/etc/one.env", "user": "sensor"}])
    facts = {("file", "/etc/one.env"): "600 0 0 0 180", ("digest", "/etc/one.env"): "0" * 64}
    monkeypatch.setattr(cli.observe.check, "read_host_facts", lambda _: HostFacts(facts=facts))
    login = {"username": "sensor", "password": "a $ecret of two words"}
    desk.outputs = UP | {"credentials": {"sensor": login}}
    desk.pulumi("exit 0")

    with pytest.raises(SystemExit) as failed:
        finish(lambda: desk.run("check"))

    assert failed.value.code == 1
    out, err = capsys.readouterr()
    assert "env files" in err
    assert "/etc/one.env: MQTT_URL or another line is not the declared one" in out
    assert "$ecret" not in out
