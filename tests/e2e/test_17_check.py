"""Each of the page's troubles is staged, and the check names it; what is well passes."""

import json
import os
import re
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import eventually

import ops.check
from broker.checklist import checklist
from broker.passwd import SALT_BYTES, hash_password
from ops.stack import Stack


@pytest.fixture(scope="module")
def checked(make_site):
    site = make_site("check")
    site.up()
    eventually(lambda: site.inspect()["State"]["Health"]["Status"] == "healthy", 30)
    return site


def points(site):
    stack = Stack.parse("e2e", site.stack_file, site.stack_file.read_text())
    found = checklist(stack.settings, "e2e", ops.check.sight(stack, site.outputs()))
    return {each.name: each for each in found}


def failed(site):
    return {name for name, each in points(site).items() if each.verdict == "fail"}


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

    assert {name for name, each in found.items() if each.verdict == "fail"} == set()
    # The database is not written yet; no backup and no age is declared.
    unknown = {name for name, each in found.items() if each.verdict == "unknown"}
    assert unknown <= {"persistence", "backups", "rotation"}
    assert found["logins"].seen.startswith("5 of 5 let in")


def test_a_container_that_was_stopped_and_a_port_that_somebody_took(checked):
    checked.docker("stop", checked.container)
    port = checked.ports[0]
    with socket.create_server(("127.0.0.1", port)):
        found = points(checked)
    checked.docker("start", checked.container)

    assert found["container"].verdict == found["ports"].verdict == "fail"
    assert "exited" in found["container"].seen
    assert f"({port}): no answer" in found["ports"].seen
    assert "the port is in use by another program" in found["ports"].seen
    eventually(lambda: failed(checked) == set(), 30)


def test_anonymous_clients_that_an_edit_lets_in(checked):
    with rewritten(
        checked,
        "mosquitto.conf",
        lambda text: text.replace("allow_anonymous false", "allow_anonymous true"),
    ):
        eventually(lambda: "anonymous" in failed(checked), 10)
        assert failed(checked) == {"anonymous", "drift"}
    eventually(lambda: failed(checked) == set(), 10)


def test_a_password_that_is_another_one(checked):
    other = hash_password("somebody else's", bytes(SALT_BYTES), 101)
    with rewritten(
        checked,
        "mosquitto_passwd",
        lambda text: re.sub("(?m)^sentient_api_prod:.*$", f"sentient_api_prod:{other}", text),
    ):
        eventually(lambda: "logins" in failed(checked), 10)
        found = points(checked)
    assert "sentient_api_prod: refused: not authorized" in found["logins"].seen
    assert "admin" not in found["logins"].seen
    eventually(lambda: failed(checked) == set(), 10)


def test_a_password_in_clear_in_the_file(checked):
    file = config(checked, "mosquitto_passwd")
    before = file.read_text()
    file.write_text(f"{before}lamp:password\n")
    try:
        found = points(checked)["password hashes"]
    finally:
        file.write_text(before)
    assert found.verdict == "fail"
    assert "1 lines of another kind" in found.seen
    assert "lamp" not in found.seen


def test_a_rule_that_an_edit_took_away(checked):
    with rewritten(
        checked, "mosquitto.acl", lambda text: text.replace("topic readwrite paragon/#\n", "", 1)
    ):
        assert failed(checked) == {"access rules"}
    assert failed(checked) == set()


@pytest.mark.parametrize(
    ("name", "point"), [("mosquitto_passwd", "password hashes"), ("mosquitto.db", "persistence")]
)
def test_a_file_that_belongs_to_somebody_else(checked, name, point):
    folders = checked.settings.broker.folders
    file = Path(folders.data if name.endswith(".db") else folders.config) / name
    if name.endswith(".db"):
        written = file.stat().st_ino if file.exists() else 0
        checked.docker("exec", checked.container, "kill", "-USR1", "1")
        # Written beside it and renamed: another file, and it must not be that one's turn later.
        eventually(lambda: file.exists() and file.stat().st_ino != written, 10)
    os.chown(file, 0, 0)
    try:
        found = points(checked)[point]
    finally:
        os.chown(file, 1883, 1883)
    assert found.verdict == "fail"
    assert "owner 0:0" in found.seen
    assert "1883:1883" in found.mend
    assert points(checked)[point].verdict == "pass"


def test_an_address_that_is_not_the_brokers(checked):
    with checked.edited(lambda config: config["broker"].update(address="127.0.0.9")):
        found = points(checked)["ports"]
    assert found.verdict == "fail"
    assert "no answer" in found.seen
    assert "MQTT_URL" in found.mend


def test_firewall_rules_that_somebody_flushed(checked):
    table = f"sentient-mqtt-{checked.container}"
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    found = points(checked)
    assert found["firewall"].verdict == "fail"
    assert "missing" in found["firewall"].seen
    checked.up()
    assert failed(checked) == set()


def test_a_configuration_that_the_broker_does_not_start_with(checked):
    file = config(checked, "mosquitto.conf")
    before = file.read_text()
    file.write_text("nonsense true\n" + before)
    checked.docker("restart", "--time", "5", checked.container)
    try:
        eventually(lambda: "container" in failed(checked), 20)
        assert {"ports", "drift"} <= failed(checked)
    finally:
        file.write_text(before)
    checked.docker("restart", checked.container)
    eventually(lambda: failed(checked) == set(), 40)


def test_it_is_data_and_a_page_too_and_shows_no_secret(checked, capsys, tmp_path, monkeypatch):
    stack = Stack.parse("e2e", checked.stack_file, checked.stack_file.read_text())
    outputs = checked.outputs()
    monkeypatch.setattr(ops.check.Stack, "read", lambda _: stack)
    ready = type("Ready", (), {"outputs": lambda _: outputs})()
    monkeypatch.setattr(ops.check.Pulumi, "ready", lambda _: ready)
    page = tmp_path / "page.md"
    monkeypatch.setattr("sys.argv", ["check", "--format", "json", "--out", str(page)])

    ops.check.main()

    said = capsys.readouterr().out
    assert {each["verdict"] for each in json.loads(said)} <= {"pass", "unknown"}
    assert page.read_text().startswith("| | asked | seen | mended by |\n")
    for each in outputs["credentials"].values():
        assert each["password"] not in said + page.read_text()
