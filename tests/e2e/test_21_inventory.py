"""`inventory`, `refused` and `check` report who logged in and who was refused."""

import json
import subprocess
from pathlib import Path

import pytest
from mqtt import login_error
from patience import eventually
from typing_in_process import types_command

import cli.observe.check
from broker.checks.checklist import checklist
from broker.logs.logrotate import logrotate_path, render_logrotate
from cli.errors import CommandError
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

    def run(*words):
        capfd.readouterr()
        types_command(*words)
        return capfd.readouterr().out

    return run


def refused_logins(types):
    logins = json.loads(types("refused", "--json"))["refused"]
    return sum(login["times"] for login in logins)


def check_result(site):
    stack = Stack.parse("e2e", site.stack_file, site.stack_file.read_text())
    results = checklist(stack.settings, "e2e", cli.observe.check.observe(stack, site.outputs()))
    return next(result for result in results if result.name == "refused logins")


def test_inventory_lists_connected_silent_and_absent_users(logged, types):
    logged.client("paragon_devices", session="ctl-1").close()
    with logged.client("admin", session="desk"):
        printed = eventually(
            lambda: (text := types("inventory")).count("silent since") and text, 10
        )
    assert "when the log begins:" in printed
    assert "silent since " in printed
    assert ": paragon_devices (user), as ctl-1 from " in printed
    assert ": admin (user), as desk from " in printed
    assert "never connected: sentient_monitor_prod (user)" in printed
    # The host itself, which connects through Docker's network, is not reported.
    assert "outside the declared networks" not in printed


def test_refused_login_is_counted_and_its_client_id_is_listed(logged, types):
    before = refused_logins(types)
    assert login_error(logged.ports[0], "admin", "a guess") == "Not authorized"
    eventually(lambda: refused_logins(types) == before + 1, 10)

    data = json.loads(types("inventory", "--json"))
    assert "auto-*" in {client["name"] for client in data["unknownClients"]}
    assert {user["name"] for user in data["declared"]} == set(logged.settings.users)
    printed = types("refused", "--since", "1h")
    assert f"{before + 1}" in printed.splitlines()[0]
    assert "not logged" in printed


def test_invalid_time_is_an_error(types):
    with pytest.raises(CommandError, match="--since yesterday: must be a number and m, h or d"):
        types("refused", "--since", "yesterday")


def test_rotated_log_is_still_read(logged, types, tmp_path):
    path = logrotate_path(logged.settings.broker)
    assert Path(path).read_text() == render_logrotate(logged.settings.broker)
    before = refused_logins(types)
    subprocess.run(["logrotate", "-f", "-s", tmp_path / "state", path], check=True)
    assert Path(logged.settings.broker.folders.log, "mosquitto.log.1").exists()

    assert refused_logins(types) == before
    assert "as ctl-1 from " in types("inventory")


def test_too_many_refused_logins_in_an_hour_fail_the_command_and_the_check(logged, types):
    assert check_result(logged).status == "pass"
    for _ in range(LIMIT):
        login_error(logged.ports[0], "admin", "a guess")

    eventually(lambda: check_result(logged).status == "fail", 10)
    assert "in the last hour" in check_result(logged).observed
    with pytest.raises(
        CommandError, match=rf"more than broker\.logging\.refusedPerHour \({LIMIT}\)"
    ):
        types("refused")


def test_destroy_removes_the_logrotate_file_and_keeps_the_log(logged):
    logged.destroy()
    assert not Path(logrotate_path(logged.settings.broker)).exists()
    assert Path(logged.settings.broker.folders.log, "mosquitto.log").exists()
