"""Each fault of docs/explanation/faults.md is staged, and `check` reports it."""

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

import cli.observe.check
from broker.checks.checklist import checklist
from broker.credentials.password_hashes import SALT_BYTES, hash_password
from cli.stack import ROOT, Stack

PAGE = ROOT / "docs" / "explanation" / "faults.md"


@pytest.fixture(scope="module")
def table():
    """A row per staged fault: fault, failed point, words of its observation."""
    return []


@pytest.fixture
def assert_reported(checked, table):
    """``assert_reported(fault, point=words, ...)``: each point fails with *words*."""

    def check(fault, results=None, **expected):
        results = results or check_results(checked)
        for name, words in expected.items():
            result = results[name.replace("_", " ")]
            assert result.status == "fail", result
            assert words in result.observed
            table.append((fault, result.name, words))
        return results

    return check


@pytest.fixture(scope="module")
def checked(make_site):
    site = make_site("check")
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


def check_results(site):
    stack = Stack.parse("e2e", site.stack_file, site.stack_file.read_text())
    results = checklist(stack.settings, "e2e", cli.observe.check.observe(stack, site.outputs()))
    return {result.name: result for result in results}


def names_with(verdict, results):
    return {name for name, result in results.items() if result.status == verdict}


def failed(site):
    return names_with("fail", check_results(site))


def config(site, name):
    return Path(site.settings.broker.folders.config) / name


@contextmanager
def edited_file(file, change):
    """Edit a file; after the block, restore its text and the time of its last change."""
    before, found = file.read_text(), file.stat()
    file.write_text(change(before))
    try:
        yield
    finally:
        file.write_text(before)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


@contextmanager
def rewritten(site, name, change):
    """Edit a file of the broker and reload it; restore it after the block."""
    reload = ("exec", site.container, "kill", "-HUP", "1")
    with edited_file(config(site, name), change):
        site.docker(*reload)
        yield
    site.docker(*reload)


def test_healthy_broker_passes_and_what_cannot_be_determined_is_unknown(checked):
    results = check_results(checked)

    assert names_with("fail", results) == set()
    # The database is not written yet, backups and a maximum age of passwords are not declared, no
    # controller has connected, and denied messages are not logged.
    unknown = names_with("unknown", results)
    assert unknown <= {"persistence", "backups", "rotation", "controllers", "denied messages"}
    assert "controllers" in unknown, "the check's own login must not count as a controller"
    assert results["password hashes"].observed.startswith("7 logins with a hash, 7 are declared")
    assert results["logins"].observed.startswith("5 of 5 let in")


def test_login_of_a_controller_passes_the_point_controllers(checked):
    checked.client("paragon_devices", session="ctl-1").close()
    passed = eventually(
        lambda: (point := check_results(checked)["controllers"]).status == "pass" and point, 10
    )
    assert "1 of 1 are in the log, the last paragon_devices from " in passed.observed


def test_stopped_container_and_a_port_in_use_are_reported(checked, assert_reported):
    checked.docker("stop", checked.container)
    port = checked.ports[0]
    with socket.create_server(("127.0.0.1", port)):
        results = check_results(checked)
    checked.docker("start", checked.container)

    assert_reported(
        "the container was stopped, and another program took its port",
        results,
        container="exited",
        ports="the port is in use by another program",
    )
    assert f"({port}): no answer" in results["ports"].observed
    eventually(lambda: failed(checked) == set(), 30)


def test_edit_that_allows_anonymous_clients_is_reported(checked, assert_reported):
    with rewritten(
        checked,
        "mosquitto.conf",
        lambda text: text.replace("allow_anonymous false", "allow_anonymous true"),
    ):
        eventually(lambda: "anonymous" in failed(checked), 10)
        results = assert_reported(
            "mosquitto.conf was edited: allow_anonymous true",
            anonymous="let in",
            drift="mosquitto.conf is not the declared one",
        )
        assert names_with("fail", results) == {"anonymous", "drift"}
    eventually(lambda: failed(checked) == set(), 10)


def test_edited_hash_is_reported(checked, assert_reported):
    other = hash_password("somebody else's", bytes(SALT_BYTES), 101)
    with rewritten(
        checked,
        "mosquitto_passwd",
        lambda text: re.sub("(?m)^sentient_api_prod:.*$", f"sentient_api_prod:{other}", text),
    ):
        eventually(lambda: "logins" in failed(checked), 10)
        results = assert_reported(
            "a user's hash was replaced",
            logins="sentient_api_prod: refused: not authorized",
        )
    assert "admin" not in results["logins"].observed
    eventually(lambda: failed(checked) == set(), 10)


@pytest.mark.parametrize(
    ("fault", "password", "words"),
    [
        ("the password file has a password in clear", "password", "1 other lines"),
        (
            "the password file has an undeclared login",
            hash_password("x", bytes(SALT_BYTES), 101),
            "8 logins with a hash, 7 are declared",
        ),
    ],
)
def test_undeclared_line_of_the_password_file_is_reported(
    checked, assert_reported, fault, password, words
):
    file = config(checked, "mosquitto_passwd")
    with edited_file(file, lambda text: f"{text}lamp:{password}\n"):
        results = assert_reported(fault, password_hashes=words)
    assert "lamp" not in results["password hashes"].observed


def test_edit_that_removes_a_rule_is_reported(checked, assert_reported):
    with rewritten(
        checked, "mosquitto.acl", lambda text: text.replace("topic readwrite paragon/#\n", "", 1)
    ):
        results = assert_reported(
            "a rule was removed from the ACL file",
            access_rules="the ACL file is not the declared one",
        )
        assert names_with("fail", results) == {"access rules", "drift"}
    assert failed(checked) == set()


@pytest.mark.parametrize(
    ("name", "point"), [("mosquitto_passwd", "password hashes"), ("mosquitto.db", "persistence")]
)
def test_file_with_the_wrong_owner_is_reported(checked, assert_reported, name, point):
    folders = checked.settings.broker.folders
    file = Path(folders.data if name.endswith(".db") else folders.config) / name
    if name.endswith(".db"):
        written = file.stat().st_ino if file.exists() else 0
        checked.docker("exec", checked.container, "kill", "-USR1", "1")
        # Mosquitto writes another file and renames it: wait, so that it does not replace this one.
        eventually(lambda: file.exists() and file.stat().st_ino != written, 10)
    os.chown(file, 0, 0)
    try:
        expected = {point.replace(" ", "_"): "owner 0:0"}
        result = assert_reported(f"{name} belongs to root", **expected)[point]
    finally:
        os.chown(file, 1883, 1883)
    assert "1883:1883" in result.fix
    assert check_results(checked)[point].status == "pass"


@pytest.mark.parametrize(
    ("name", "point"),
    [("config", "password hashes"), ("data", "persistence"), ("log", "log")],
)
def test_folder_with_the_wrong_owner_is_reported(checked, assert_reported, name, point):
    folder = Path(getattr(checked.settings.broker.folders, name))
    before = folder.stat()
    os.chown(folder, 0, 0)
    try:
        expected = {point.replace(" ", "_"): "the folder belongs to 0:0"}
        result = assert_reported(f"the {name} folder belongs to root", **expected)[point]
    finally:
        os.chown(folder, before.st_uid, before.st_gid)
    fix = "./brokerctl up" if name == "config" else f"chown -Rh 1883:1883 {folder}"
    assert fix in result.fix
    assert check_results(checked)[point].status == "pass"


def test_wrong_address_in_the_stack_file_is_reported(checked, assert_reported):
    with checked.edited(lambda config: config["broker"].update(address="127.0.0.9")):
        results = assert_reported("the stack file has another address", ports="no answer")
    assert "MQTT_URL" in results["ports"].fix


def test_wrong_address_in_an_env_file_is_reported(checked, assert_reported):
    """Replaces `grep MQTT_URL .env.production` of the manual setup guide."""
    file = Path(checked.settings.broker.env_files[0].path)
    assert check_results(checked)["env files"].status == "pass"
    assert "MQTT_URL=mqtt://127.0.0.1" in file.read_text()
    with edited_file(file, lambda text: text.replace("//127.0.0.1", "//127.0.0.9")):
        result = assert_reported(
            "an env file's MQTT_URL names another address",
            env_files="MQTT_URL or another line is not the declared one",
        )["env files"]
    assert "./brokerctl credentials sentient_api_prod --stack e2e" in result.fix
    assert checked.password("sentient_api_prod") not in result.observed + result.fix


def test_full_disk_is_reported(checked, assert_reported, mount, tmp_path):
    small = mount(tmp_path / "backups", "size=2m")
    (small / "filler").write_bytes(b"x" * 2**21)
    with checked.edited(lambda config: config["broker"].update(backups={"folder": str(small)})):
        assert_reported("the backups' disk is full", room="0 of 2 MiB are free")


def test_missing_and_empty_backups_are_reported(checked, assert_reported, tmp_path):
    (tmp_path / "archive").touch()
    note = tmp_path / f".verified-{checked.container}"
    with checked.edited(lambda config: config["broker"].update(backups={"folder": str(tmp_path)})):
        note.write_text("1700000000 archive 3 1 3 8\n")
        assert_reported("no backup was made for days", backups="days ago")
        note.write_text("17")
        assert_reported("the record of the last backup was cut short", backups="is not readable")
        now = int(time.time())
        note.write_text(f"{now} archive 0 1 3 8\n")
        note.with_name(f".filled-{checked.container}").write_text(f"{now - 9} archive 3 1 3 8\n")
        assert_reported(
            "the last archive has no messages, the one before had",
            backups="it holds no retained message",
        )


def test_flushed_firewall_rules_are_reported(checked, assert_reported):
    table = f"sentient-mqtt-{checked.container}"
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    assert_reported("the firewall's rules were flushed", firewall="missing")
    checked.up()
    assert failed(checked) == set()


def test_configuration_that_mosquitto_rejects_is_reported(checked, assert_reported):
    file = config(checked, "mosquitto.conf")
    with edited_file(file, lambda text: f"nonsense true\n{text}"):
        checked.docker("restart", "--time", "5", checked.container)
        # Between two attempts the container may be running.
        results = eventually(
            lambda: (
                "restarting" in (current := check_results(checked))["container"].observed
                and current
            ),
            20,
        )
        assert_reported(
            "a line that Mosquitto rejects, and a restart",
            results,
            container="restarting",
            ports="no answer",
            drift="mosquitto.conf is not the declared one",
        )
    checked.docker("restart", checked.container)
    eventually(lambda: failed(checked) == set(), 40)


def test_json_and_markdown_results_show_no_secret(checked, capsys, tmp_path, monkeypatch):
    stack = Stack.parse("e2e", checked.stack_file, checked.stack_file.read_text())
    outputs = checked.outputs()
    monkeypatch.setattr(cli.observe.check.Stack, "read", lambda _: stack)
    ready = type("Ready", (), {"outputs": lambda _: outputs})()
    monkeypatch.setattr("cli.pulumi.Pulumi.ready", lambda _: ready)
    page = tmp_path / "page.md"

    types_command("check", "--json", "--out", str(page))

    printed = capsys.readouterr().out
    assert {result["verdict"] for result in json.loads(printed)} <= {"pass", "unknown"}
    assert page.read_text().startswith("| | check | observed | fix |\n")
    for login in outputs["credentials"].values():
        assert login["password"] not in printed + page.read_text()


def test_table_of_the_documentation_is_what_check_reported(table):
    rows = ["| staged fault | failed point | what it reports |", "| --- | --- | --- |"]
    last = ""
    for fault, point, words in table:
        rows.append(
            f"| {fault if fault != last else ''} | {point} | {words} |".replace("|  |", "| |")
        )
        last = fault
    lines = "\n".join(rows) + "\n"
    print("\n" + lines)
    assert lines in PAGE.read_text(encoding="utf-8"), (
        f"docs/explanation/faults.md is not what the check said:\n{lines}"
    )
