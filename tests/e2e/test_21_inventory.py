"""Who came and who was turned away, as `inventory`, `refused` and `check` say."""

import json
import subprocess
from pathlib import Path

import pytest
from mqtt import refusal
from patience import eventually
from typing_in_process import types_command

import cli.check
from broker.checks.checklist import checklist
from broker.logs.logrotate import logrotate_path, render_logrotate
from cli.refusals import Refusal
from cli.stack import Stack

LIMIT = 12


@pytest.fixture(scope="module")
def logged(make_site):
    site = make_site(
        "inventory", lambda config: config["broker"].update(logging={"refusedPerHour": LIMIT})
    )
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


@pytest.fixture
def types(logged, monkeypatch, capfd):
    stack = Stack.parse("e2e", logged.stack_file, logged.stack_file.read_text())
    monkeypatch.setattr(Stack, "read", lambda _: stack)

    def type_(*words):
        capfd.readouterr()
        types_command(*words)
        return capfd.readouterr().out

    return type_


def refusals(types):
    found = json.loads(types("refused", "--json"))
    return sum(each["times"] for each in found["refused"])


def point(site):
    stack = Stack.parse("e2e", site.stack_file, site.stack_file.read_text())
    found = checklist(stack.settings, "e2e", cli.check.sight(stack, site.outputs()))
    return next(each for each in found if each.name == "refused logins")


def test_who_is_here_who_is_silent_and_who_never_came(logged, types):
    logged.client("paragon_devices", session="ctl-1").close()
    with logged.client("admin", session="desk"):
        said = eventually(lambda: (text := types("inventory")).count("silent since") and text, 10)
    assert "when the log begins:" in said
    assert "silent since " in said
    assert ": paragon_devices (user), as ctl-1 from " in said
    assert ": admin (user), as desk from " in said
    assert "never connected: sentient_monitor_prod (user)" in said
    # The host itself, through Docker, is nobody from outside.
    assert "outside the declared networks" not in said


def test_who_is_refused_is_told_of_with_the_id_that_it_chose(logged, types):
    before = refusals(types)
    assert refusal(logged.ports[0], "admin", "a guess") == "Not authorized"
    eventually(lambda: refusals(types) == before + 1, 10)

    data = json.loads(types("inventory", "--json"))
    assert "auto-*" in {each["name"] for each in data["unknownClients"]}
    assert {each["name"] for each in data["declared"]} == set(logged.settings.users)
    said = types("refused", "--since", "1h")
    assert f"{before + 1}" in said.splitlines()[0]
    assert "not logged" in said


def test_a_time_that_is_none(types):
    with pytest.raises(Refusal, match="--since yesterday: must be a number and m, h or d"):
        types("refused", "--since", "yesterday")


def test_the_log_is_rotated_and_read_on(logged, types, tmp_path):
    path = logrotate_path(logged.settings.broker)
    assert Path(path).read_text() == render_logrotate(logged.settings.broker)
    before = refusals(types)
    subprocess.run(["logrotate", "-f", "-s", tmp_path / "state", path], check=True)
    assert Path(logged.settings.broker.folders.log, "mosquitto.log.1").exists()

    assert refusals(types) == before
    assert "as ctl-1 from " in types("inventory")


def test_too_many_in_an_hour_fail_the_command_and_the_check(logged, types):
    assert point(logged).status == "pass"
    for _ in range(LIMIT):
        refusal(logged.ports[0], "admin", "a guess")

    eventually(lambda: point(logged).status == "fail", 10)
    assert "in the last hour" in point(logged).observed
    with pytest.raises(Refusal, match=rf"more than broker\.logging\.refusedPerHour \({LIMIT}\)"):
        types("refused")


def test_what_it_was_told_goes_with_the_broker(logged):
    logged.destroy()
    assert not Path(logrotate_path(logged.settings.broker)).exists()
    assert Path(logged.settings.broker.folders.log, "mosquitto.log").exists()
