"""A preview names each object that differs on the host, and one `up` repairs it."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from declared import ROOT
from drift_table import FILE_CHANGES, changes_of, read_records, render_table
from mqtt import DENIED
from ports import free_port
from site_under_test import STACK

from bootstrap.broker_image import EXPORTER, fallback_image
from broker.drift import drift
from broker.host.requirements import host_requirements
from cli.observe.check import probe_host
from cli.stack import Stack

PAGE = ROOT / "docs" / "reference" / "drift.md"
EXPERT = "paragon/room/commands/open"


@pytest.fixture(scope="module")
def drifting(make_site, shared_folder, daemon):
    """A site with every kind of object that an `up` makes."""
    fallback_image("trixie", daemon, EXPORTER)
    site = make_site("drifting")
    application = site.folder / "application"
    application.mkdir()
    os.chown(application, 1000, 1000)

    def declare(config):
        broker = config["broker"]
        broker["listeners"]["mqtt"] |= {"plain": True, "bindAddress": "0.0.0.0"}
        broker["listeners"]["mqtts"] = {
            "port": free_port(),
            "bindAddress": "127.0.0.1",
            "tls": {"clientCertificates": "required"},
        }
        theirs = {"uid": 1000, "gid": 1000}
        env_file = {"path": f"{application}/.env", "user": "admin", "owner": theirs}
        broker["envFiles"].append(env_file)
        broker["backups"] = {"folder": f"{site.folder}/backups", "schedule": "30 3 1 1 *"}
        broker["monitoring"] = {
            "user": "sentient_monitor_prod",
            "port": free_port(),
            "textfile": f"{site.folder}/textfiles",
        }

    site.edit(declare)
    site.up()
    yield site
    if site.is_there():
        site.destroy()
    for folder in ("/etc/cron.d", "/etc/logrotate.d", "/etc/systemd/system"):
        for moved in Path(folder).glob(f"*{site.container}*.sentient-mqtt-moved-*"):
            shutil.rmtree(moved)
    shutil.rmtree(f"/etc/sentient-mqtt/{site.container}", ignore_errors=True)


def records(site):
    return Path("/etc/sentient-mqtt", site.container, "applied")


def differences(site):
    stack = Stack.parse(STACK, site.stack_file, site.stack_file.read_text())
    required = host_requirements(stack.settings, STACK)
    return drift(stack.settings.broker, required, probe_host(stack))


def label(site, path):
    """Return the path of an object without the names of this test."""
    text = str(path).replace(str(site.root), "").replace(str(site.folder), "")
    return text.replace(site.container, "CONTAINER")


def is_of_ca(path):
    """Return whether a change of the file concerns every client with a certificate."""
    return path.name in ("ca.key", "ca", "certificates", "ca.pem", "clients.pem")


@pytest.fixture(scope="module")
def objects(drifting):
    """The objects whose repair disconnects nobody, by path. Those that hold others come last."""
    found = [
        recorded for recorded in read_records(records(drifting)) if not is_of_ca(recorded.path)
    ]
    broker = drifting.settings.broker
    holding = {broker.folders.config, broker.folders.data, broker.folders.log}
    holding |= {f"/etc/sentient-mqtt/{drifting.container}"}
    return [recorded for recorded in found if str(recorded.path) not in holding]


@pytest.fixture(scope="module")
def table():
    return defaultdict(dict)


def test_nothing_differs_after_an_up(drifting, objects):
    assert differences(drifting) == []
    # Files of the broker, of the firewall, of a timer, of the exporter, and of applications.
    assert len(objects) > 20


@pytest.mark.parametrize("change", [*FILE_CHANGES, "replaced by a file"])
def test_every_object_is_named_and_repaired(drifting, objects, table, change):
    changed = [recorded for recorded in objects if change in changes_of(recorded)]
    before = {recorded.path: recorded.state() for recorded in objects}
    with drifting.client("admin") as client:
        for recorded in changed:
            # The folder of a file may be gone by now.
            if recorded.path.exists():
                changes_of(recorded)[change](recorded.path)
        named = "\n".join(differences(drifting))
        for recorded in changed:
            assert str(recorded.path) in named
        if change == "edited":
            preview = drifting.preview().output
            for recorded in changed:
                assert str(recorded.path) in preview
            assert "A reload, no restart" in preview
        drifting.up()
        assert differences(drifting) == []
        assert client.disconnected is None
    for recorded in objects:
        mode, uid, gid, content = recorded.state()
        assert (mode, uid, gid) == before[recorded.path][:3], recorded.path
        # The canary's password, a certificate and a count of revisions are new.
        if not {"canary", "tls", "certificates", "mosquitto_passwd"} & set(recorded.path.parts):
            assert content == before[recorded.path][3], recorded.path
    for recorded in changed:
        table[label(drifting, recorded.path)][change] = "repaired"


def test_rule_in_force_is_taken_back(drifting):
    """The broker has read the rule: files alone do not show that, and a reload is due."""
    acl = Path(drifting.settings.broker.folders.config, "mosquitto.acl")
    with acl.open("a") as file:
        file.write("user paragon_devices\ntopic readwrite #\n")
    drifting.docker("exec", drifting.container, "kill", "-HUP", "1")
    with drifting.client("paragon_devices") as device, drifting.client("admin") as admin:
        assert device.publish(EXPERT, "evil") != DENIED
        drifting.up()
        assert device.publish(EXPERT, "evil") == DENIED
        assert (device.disconnected, admin.disconnected) == (None, None)
    assert differences(drifting) == []


def test_file_that_was_changed_and_changed_back_is_read_again(drifting):
    acl = Path(drifting.settings.broker.folders.config, "mosquitto.acl")
    declared = acl.read_text()
    acl.write_text(f"{declared}user paragon_devices\ntopic readwrite #\n")
    drifting.docker("exec", drifting.container, "kill", "-HUP", "1")
    with drifting.client("paragon_devices") as device:
        assert device.publish(EXPERT, "evil") != DENIED
        acl.write_text(declared)
        os.utime(acl, (1, 1))
        assert "was changed and changed back" in "\n".join(differences(drifting))
        drifting.up()
        assert device.publish(EXPERT, "evil") == DENIED


def test_lost_records_apply_everything_again(drifting):
    for record in records(drifting).iterdir():
        record.unlink()
    (found,) = differences(drifting)
    assert "no record of what the last" in found
    with drifting.client("admin") as client:
        drifting.up()
        assert client.disconnected is None
    assert differences(drifting) == []


def test_changed_ca_of_the_clients_costs_a_restart_and_the_preview_says_so(drifting):
    ca = drifting.outputs()["certificates"]["ca"]
    folder = Path("/etc/sentient-mqtt", drifting.container, "certificates")
    (clients,) = Path(drifting.settings.broker.folders.config).rglob("clients.pem")
    for path in (clients, folder / "ca" / "ca.pem"):
        with path.open("a") as file:
            file.write(ca)

    preview = drifting.preview().output
    drifting.up()

    assert "every client is disconnected once" in preview
    assert differences(drifting) == []
    assert drifting.outputs()["certificates"]["ca"] == ca == clients.read_text()


def test_lost_key_of_the_ca_creates_another_ca(drifting):
    ca = drifting.outputs()["certificates"]["ca"]
    Path("/etc/sentient-mqtt", drifting.container, "certificates", "ca", "ca.key").unlink()
    assert "ca.key was removed" in "\n".join(differences(drifting))

    drifting.up()

    assert differences(drifting) == []
    assert drifting.outputs()["certificates"]["ca"] != ca


def test_page_has_the_measured_table(drifting, table):
    """Run it after the tests above: they fill the table."""
    text = render_table(sorted(table.items()))
    print(text)
    assert text in PAGE.read_text()


def test_third_up_changes_nothing(drifting):
    assert "unchanged" in drifting.up("--expect-no-changes").output
