"""Only the state that made a broker changes it; a lost state is replaced without a new password."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from mqtt import Client
from patience import eventually
from site_under_test import STACK

from broker.adopt.adopted_settings import Place
from broker.adopt.adoption import adopt
from broker.adopt.own_files import WithoutOwnParts
from cli.setup.adopt import Folder

REFUSED = "another Pulumi state manages this broker"
OLDER = "this state is an older copy of the one that manages this broker"


@pytest.fixture(scope="module")
def site(make_site):
    site = make_site("identity")
    site.up()
    yield site
    if site.is_there():
        site.destroy()


@pytest.fixture
def unnoticed(site):
    """Fail if a client is disconnected, a login is refused or a file changes."""
    before = (site.files(), record(site), site.inspect()["State"]["StartedAt"])
    with site.client("admin") as client:
        yield
        assert client.disconnected is None
        with site.client("admin"):
            pass
    assert (site.files(), record(site), site.inspect()["State"]["StartedAt"]) == before


def record(site):
    folder = Path("/etc/sentient-mqtt", site.container)
    return {name: (folder / name).read_text() for name in ("owner", "deployed")}


def backend(folder):
    return {"PULUMI_BACKEND_URL": folder.as_uri()}


def copy_of_state(site, name):
    """Return the environment of a run with a copy of the state."""
    folder = site.folder / name
    shutil.copytree(site.state, folder)
    return backend(folder)


@pytest.fixture(scope="module")
def older(site):
    """The environment of a run with the state as it is after the first `up`."""
    return copy_of_state(site, "older")


def allow_more(config):
    config["users"]["admin"]["description"] = "May do everything"
    config["users"]["paragon_devices"]["write"].append("paragon/+/more/#")


def adopt_passwords(config):
    for user in config["users"].values():
        user["password"] = "adopted"
    config["broker"]["envFiles"] = []  # their passwords are not known any more


def test_the_record_is_readable_and_has_no_secret(site):
    folder = Path("/etc/sentient-mqtt", site.container)
    for name in ("owner", "deployed"):
        found = (folder / name).stat()
        assert (found.st_uid, f"{found.st_mode & 0o777:o}") == (0, "644")
    text = json.dumps(record(site))
    for user in site.outputs()["credentials"]:
        assert site.password(user) not in text
    assert f"state: {site.state.as_uri()}" in text


def test_an_empty_state_is_refused_and_no_client_notices(site, unnoticed):
    folder = site.folder / "another"
    folder.mkdir()
    another = backend(folder)
    site.stack("init", **another)

    output = site.up(fails=True, **another).output

    assert REFUSED in output
    assert f"state: {site.state.as_uri()}" in output
    assert "This state: stack 'e2e', an empty state" in output


def test_another_stack_can_not_use_its_folders(site, make_site, unnoticed):
    guest = make_site("guest")
    folders = site.settings.broker.folders

    def share(config):
        config["broker"]["folders"]["config"] = f"{folders.data}/nested"
        config["broker"]["folders"]["log"] = folders.log
        config["broker"]["envFiles"] = []

    guest.edit(share)
    output = guest.preview(fails=True).output
    for path in (f"{folders.data}/nested", folders.log):
        assert f"'{path}': broker '{site.container}' on this host uses '" in output


def test_a_killed_up_is_completed_by_the_next(site, older):
    before = record(site)["owner"]
    site.edit(allow_more)
    with site.client("admin") as client:
        process = site.begin("up", "--yes", "--skip-preview", "--stack", STACK)
        eventually(lambda: record(site)["owner"] != before, 30)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

        site.pulumi("cancel", "--yes", "--stack", STACK)
        site.up()

        assert client.disconnected is None
    completed = record(site)
    assert f"deployment {completed['deployed']}" in completed["owner"]


def test_an_older_copy_neither_changes_nor_removes_the_broker(site, older, unnoticed):
    assert OLDER in site.preview(fails=True, **older).output
    site.pulumi("state", "unprotect", "--all", "--yes", "--stack", STACK, **older)
    removed = site.pulumi(
        "destroy", "--yes", "--skip-preview", "--stack", STACK, fails=True, **older
    )
    assert "it is an older copy. Nothing was removed" in removed.output


def test_a_renamed_stack_goes_on(site, unnoticed):
    renamed = copy_of_state(site, "renamed")
    declared = site.stack_file.read_text()
    try:
        site.pulumi("stack", "rename", "renamed", "--stack", STACK, **renamed)
        output = site.pulumi("preview", "--stack", "renamed", **renamed).output
    finally:
        (site.project / "Pulumi.renamed.yaml").unlink(missing_ok=True)
        site.stack_file.write_text(declared)

    assert "error:" not in output
    assert "+-1 to replace" in output  # the container, whose label names the stack


def test_a_lost_state_is_replaced_and_every_client_keeps_its_password(site):
    known = {user: site.password(user) for user in site.outputs()["credentials"]}
    with site.client("admin", session="kept") as admin:
        admin.subscribe("paragon/+/events/#")
        admin.publish("paragon/room/status/kept", "retained", retain=True)
    with site.client("paragon_devices") as device:
        device.publish("paragon/room/events/kept", "queued")
    folder = site.folder / "recovered"
    folder.mkdir()
    recovered = backend(folder)

    with site.client("admin") as client:
        broker = site.settings.broker
        texts = WithoutOwnParts(broker.files.conf, Folder(Path(broker.folders.config)))
        place = Place(
            address=broker.address,
            config=broker.folders.config,
            container=broker.container,
            data=broker.folders.data,
            log=broker.folders.log,
        )
        adopted = adopt(broker.files.conf, texts, place)
        assert set(adopted.hashes) == set(known)
        site.edit(adopt_passwords)
        site.stack("init", **recovered)
        site.pulumi(
            *("config", "set", "--stack", STACK, "--secret", "sentient-mqtt:hashes"),
            stdin=json.dumps(adopted.hashes),
            quiet=True,
            **recovered,
        )
        assert client.disconnected is None

    site.up(SENTIENT_MQTT_TAKE_OVER=site.container, **recovered)

    for user, password in known.items():
        Client(site.ports[0], user, password).close()
    with Client(site.ports[0], "admin", known["admin"], session="kept") as admin:
        assert admin.got("paragon/room/events/kept").text == "queued"
        admin.subscribe("paragon/+/status/#")
        assert admin.got("paragon/room/status/kept").text == "retained"
    # The former state is another one now.
    assert REFUSED in site.preview(fails=True).output
    site.more_environment |= recovered
