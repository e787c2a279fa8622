"""Each of the page's troubles is staged, and the check names it; what is well passes."""

import json
import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import eventually
from typing_in_process import types_command

import cli.check
from broker.checks.checklist import checklist
from broker.credentials.password_hashes import SALT_BYTES, hash_password
from cli.stack import ROOT, Stack

PAGE = ROOT / "docs" / "explanation" / "faults.md"


@pytest.fixture(scope="module")
def table():
    """What the check said of each fault that was staged: fault, point, words."""
    return []


@pytest.fixture
def names(checked, table):
    """``names(fault, point=words, ...)``: the check fails in each point, and says so."""

    def check(fault, found=None, **said):
        found = found or points(checked)
        for name, words in said.items():
            each = found[name.replace("_", " ")]
            assert each.status == "fail", each
            assert words in each.observed
            table.append((fault, each.name, words))
        return found

    return check


@pytest.fixture(scope="module")
def checked(make_site):
    site = make_site("check")
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


def points(site):
    stack = Stack.parse("e2e", site.stack_file, site.stack_file.read_text())
    found = checklist(stack.settings, "e2e", cli.check.sight(stack, site.outputs()))
    return {each.name: each for each in found}


def failed(site):
    return {name for name, each in points(site).items() if each.status == "fail"}


def config(site, name):
    return Path(site.settings.broker.folders.config) / name


@contextmanager
def rewritten(site, name, change):
    """A file of the broker as somebody edited it, which it is told to read, and back again."""
    file = config(site, name)
    before = file.read_text()

    def put(text):
        file.write_text(text)
        site.docker("exec", site.container, "kill", "-HUP", "1")

    put(change(before))
    try:
        yield
    finally:
        put(before)


def test_what_is_well_passes_and_what_nobody_can_tell_is_unknown(checked):
    found = points(checked)

    assert {name for name, each in found.items() if each.status == "fail"} == set()
    # The database is not written yet; no backup and no age is declared; no controller has come, and
    # what is denied is not logged.
    unknown = {name for name, each in found.items() if each.status == "unknown"}
    assert unknown <= {"persistence", "backups", "rotation", "controllers", "denied messages"}
    assert "controllers" in unknown, "the check's own login is no controller"
    assert found["password hashes"].observed.startswith("7 logins with a hash, 7 are declared")
    assert found["logins"].observed.startswith("5 of 5 let in")


def test_a_controller_that_came_is_what_tells_that_they_can(checked):
    checked.client("paragon_devices", session="ctl-1").close()
    found = eventually(
        lambda: (each := points(checked)["controllers"]).status == "pass" and each, 10
    )
    assert "1 of 1 are in the log, the last paragon_devices from " in found.observed


def test_a_container_that_was_stopped_and_a_port_that_somebody_took(checked, names):
    checked.docker("stop", checked.container)
    port = checked.ports[0]
    with socket.create_server(("127.0.0.1", port)):
        found = points(checked)
    checked.docker("start", checked.container)

    names(
        "the container was stopped, and another program took its port",
        found,
        container="exited",
        ports="the port is in use by another program",
    )
    assert f"({port}): no answer" in found["ports"].observed
    eventually(lambda: failed(checked) == set(), 30)


def test_anonymous_clients_that_an_edit_lets_in(checked, names):
    with rewritten(
        checked,
        "mosquitto.conf",
        lambda text: text.replace("allow_anonymous false", "allow_anonymous true"),
    ):
        eventually(lambda: "anonymous" in failed(checked), 10)
        found = names(
            "somebody's edit: allow_anonymous true",
            anonymous="let in",
            drift="mosquitto.conf is not the declared one",
        )
        assert {each.name for each in found.values() if each.status == "fail"} == {
            "anonymous",
            "drift",
        }
    eventually(lambda: failed(checked) == set(), 10)


def test_a_password_that_is_another_one(checked, names):
    other = hash_password("somebody else's", bytes(SALT_BYTES), 101)
    with rewritten(
        checked,
        "mosquitto_passwd",
        lambda text: re.sub("(?m)^sentient_api_prod:.*$", f"sentient_api_prod:{other}", text),
    ):
        eventually(lambda: "logins" in failed(checked), 10)
        found = names(
            "a user's hash is another one",
            logins="sentient_api_prod: refused: not authorized",
        )
    assert "admin" not in found["logins"].observed
    eventually(lambda: failed(checked) == set(), 10)


@pytest.mark.parametrize(
    ("fault", "password", "said"),
    [
        ("a password in clear in the file", "password", "1 other lines"),
        (
            "a login that nobody declared",
            hash_password("x", bytes(SALT_BYTES), 101),
            "8 logins with a hash, 7 are declared",
        ),
    ],
)
def test_a_line_of_the_password_file_that_nobody_declared(checked, names, fault, password, said):
    file = config(checked, "mosquitto_passwd")
    before = file.read_text()
    file.write_text(f"{before}lamp:{password}\n")
    try:
        found = names(fault, password_hashes=said)
    finally:
        file.write_text(before)
    assert "lamp" not in found["password hashes"].observed


def test_a_rule_that_an_edit_took_away(checked, names):
    with rewritten(
        checked, "mosquitto.acl", lambda text: text.replace("topic readwrite paragon/#\n", "", 1)
    ):
        found = names("a rule is gone", access_rules="the ACL file is not the declared one")
        assert {each.name for each in found.values() if each.status == "fail"} == {"access rules"}
    assert failed(checked) == set()


@pytest.mark.parametrize(
    ("name", "point"), [("mosquitto_passwd", "password hashes"), ("mosquitto.db", "persistence")]
)
def test_a_file_that_belongs_to_somebody_else(checked, names, name, point):
    folders = checked.settings.broker.folders
    file = Path(folders.data if name.endswith(".db") else folders.config) / name
    if name.endswith(".db"):
        written = file.stat().st_ino if file.exists() else 0
        checked.docker("exec", checked.container, "kill", "-USR1", "1")
        # Written beside it and renamed: another file, and it must not be that one's turn later.
        eventually(lambda: file.exists() and file.stat().st_ino != written, 10)
    os.chown(file, 0, 0)
    try:
        said = {point.replace(" ", "_"): "owner 0:0"}
        found = names(f"{name} belongs to root", **said)[point]
    finally:
        os.chown(file, 1883, 1883)
    assert "1883:1883" in found.fix
    assert points(checked)[point].status == "pass"


@pytest.mark.parametrize(
    ("name", "point"),
    [("config", "password hashes"), ("data", "persistence"), ("log", "log")],
)
def test_a_folder_that_belongs_to_somebody_else(checked, names, name, point):
    folder = Path(getattr(checked.settings.broker.folders, name))
    before = folder.stat()
    os.chown(folder, 0, 0)
    try:
        said = {point.replace(" ", "_"): "the folder belongs to 0:0"}
        found = names(f"the {name} folder belongs to root", **said)[point]
    finally:
        os.chown(folder, before.st_uid, before.st_gid)
    assert f"chown -Rh 1883:1883 {folder}" in found.fix
    assert points(checked)[point].status == "pass"


def test_an_address_that_is_not_the_brokers(checked, names):
    with checked.edited(lambda config: config["broker"].update(address="127.0.0.9")):
        found = names("the stack file has another address", ports="no answer")["ports"]
    assert "MQTT_URL" in found.fix


def test_an_env_file_with_another_address(checked, names):
    """The page's `grep MQTT_URL .env.production`."""
    file = Path(checked.settings.broker.env_files[0].path)
    before = file.read_text()
    assert points(checked)["env files"].status == "pass"
    file.write_text(before.replace("MQTT_URL=mqtt://127.0.0.1", "MQTT_URL=mqtt://127.0.0.9"))
    assert file.read_text() != before
    try:
        found = names(
            "an env file's MQTT_URL names another address",
            env_files="MQTT_URL or another line is not the declared one",
        )["env files"]
    finally:
        file.write_text(before)
    assert "./brokerctl credentials sentient_api_prod --stack e2e" in found.fix
    assert checked.password("sentient_api_prod") not in found.observed + found.fix


def test_a_disk_that_is_full(checked, names, mount, tmp_path):
    small = mount(tmp_path / "backups", "size=2m")
    (small / "filler").write_bytes(b"x" * 2**21)
    with checked.edited(lambda config: config["broker"].update(backups={"folder": str(small)})):
        names("the backups' disk is full", room="0 of 2 MiB are free")


def test_a_backup_that_did_not_come(checked, names, tmp_path):
    (tmp_path / "archive").touch()
    note = tmp_path / f".verified-{checked.container}"
    with checked.edited(lambda config: config["broker"].update(backups={"folder": str(tmp_path)})):
        note.write_text("1700000000 archive 3 1 3 8\n")
        names("no backup was made for days", backups="days ago")
        note.write_text("17")
        names("what is known of the last backup was cut short", backups="is not readable")
        now = int(time.time())
        note.write_text(f"{now} archive 0 1 3 8\n")
        note.with_name(f".filled-{checked.container}").write_text(f"{now - 9} archive 3 1 3 8\n")
        names(
            "the last archive has lost its messages",
            backups="it holds no retained message",
        )


def test_firewall_rules_that_somebody_flushed(checked, names):
    table = f"sentient-mqtt-{checked.container}"
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    names("the firewall's rules were flushed", firewall="missing")
    checked.up()
    assert failed(checked) == set()


def test_a_configuration_that_the_broker_does_not_start_with(checked, names):
    file = config(checked, "mosquitto.conf")
    before = file.read_text()
    file.write_text("nonsense true\n" + before)
    checked.docker("restart", "--time", "5", checked.container)
    try:
        # Between two attempts it may be seen running.
        found = eventually(
            lambda: "restarting" in (each := points(checked))["container"].observed and each, 20
        )
        names(
            "a line that Mosquitto doesn't take, and a restart",
            found,
            container="restarting",
            ports="no answer",
            drift="mosquitto.conf is not the declared one",
        )
    finally:
        file.write_text(before)
    checked.docker("restart", checked.container)
    eventually(lambda: failed(checked) == set(), 40)


def test_it_is_data_and_a_page_too_and_shows_no_secret(checked, capsys, tmp_path, monkeypatch):
    stack = Stack.parse("e2e", checked.stack_file, checked.stack_file.read_text())
    outputs = checked.outputs()
    monkeypatch.setattr(cli.check.Stack, "read", lambda _: stack)
    ready = type("Ready", (), {"outputs": lambda _: outputs})()
    monkeypatch.setattr("cli.pulumi.Pulumi.ready", lambda _: ready)
    page = tmp_path / "page.md"

    types_command("check", "--json", "--out", str(page))

    said = capsys.readouterr().out
    assert {each["verdict"] for each in json.loads(said)} <= {"pass", "unknown"}
    assert page.read_text().startswith("| | check | observed | fix |\n")
    for each in outputs["credentials"].values():
        assert each["password"] not in said + page.read_text()


def test_the_page_says_what_the_check_said(table):
    rows = ["| what was staged | point that fails | what it says |", "| --- | --- | --- |"]
    last = ""
    for fault, point, said in table:
        rows.append(
            f"| {fault if fault != last else ''} | {point} | {said} |".replace("|  |", "| |")
        )
        last = fault
    lines = "\n".join(rows) + "\n"
    print("\n" + lines)
    assert lines in PAGE.read_text(encoding="utf-8"), (
        f"docs/explanation/faults.md is not what the check said:\n{lines}"
    )
