"""The host makes backups by its own clock; by hand one is made, tried and restored."""

import subprocess
from pathlib import Path

import pytest
from patience import eventually
from typing_in_process import types_command

import cli.backup.create
from cli.errors import CommandError
from cli.stack import Stack


@pytest.fixture(scope="module")
def backed_up(make_site, ground):
    site = make_site("backed-up")

    def declare(config):
        config["broker"]["backups"] = {
            "folder": str(ground / "backups"),
            "schedule": "* * * * *",
            "keep": 2,
        }

    site.edit(declare)
    site.up()
    yield site
    if site.is_there():
        site.destroy()


def folder(site) -> Path:
    return Path(site.settings.broker.backups.folder)


def archives(site) -> list[Path]:
    return sorted(folder(site).glob("*.tar.gz"))


def cron_file(site) -> Path:
    return Path(f"/etc/cron.d/sentient-mqtt-backup-{site.container}")


@pytest.fixture
def types(backed_up, monkeypatch, capfd):
    stack = Stack.parse("e2e", backed_up.stack_file, backed_up.stack_file.read_text())
    monkeypatch.setattr(Stack, "read", lambda _: stack)

    def type_(*words, answer="no"):
        monkeypatch.setattr("builtins.input", lambda _: answer)
        capfd.readouterr()
        types_command(*words)
        return capfd.readouterr().out

    return type_


def test_the_hosts_clock_makes_one(backed_up):
    file = cron_file(backed_up)
    assert file.stat().st_mode & 0o777 == 0o644
    script = Path(f"/etc/sentient-mqtt/{backed_up.container}/backup")
    assert script.stat().st_mode & 0o777 == 0o700
    text = script.read_text() + file.read_text()
    assert not any(backed_up.password(each) in text for each in backed_up.settings.users)

    cron = subprocess.Popen(["cron", "-f"], stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: archives(backed_up), 150)
    finally:
        cron.terminate()
        cron.wait(10)


def test_up_again_has_nothing_to_do(backed_up):
    backed_up.up("--expect-no-changes")


def test_by_hand_one_is_made_tried_and_restored(backed_up, types):
    with backed_up.client("admin") as admin:
        admin.publish("paragon/room/status/door", "open", retain=True)
    said = types("backup", "create")
    assert "It holds 1 retained messages" in said
    archive = said.partition(": ")[0]
    assert Path(archive) in archives(backed_up)
    assert f"{archive}: complete" in types("backup", "verify")
    with backed_up.client("admin") as admin:
        admin.publish("paragon/room/status/door", "shut", retain=True)
    started = backed_up.inspect()["State"]["StartedAt"]

    with pytest.raises(CommandError, match="the answer was not yes"):
        types("backup", "restore", "latest")
    assert backed_up.inspect()["State"]["StartedAt"] == started

    said = types("backup", "restore", "latest", answer="yes")
    assert "It replaces what" in said
    assert "downtime: " in said
    with backed_up.until_in("admin") as admin:
        admin.subscribe("paragon/room/status/door")
        assert admin.got("paragon/room/status/door").text == "open"
    backed_up.up("--expect-no-changes")


def test_without_a_name_nothing_is_restored(types):
    with pytest.raises(CommandError, match="name an archive"):
        types("backup", "restore", "")
    with pytest.raises(CommandError, match="is not on the host"):
        types("backup", "restore", "/nowhere/x.tar.gz", "--yes")


def test_a_stack_that_declares_none_is_told_how(backed_up, types):
    with backed_up.edited(lambda config: config["broker"].pop("backups")):
        stack = Stack.parse("e2e", backed_up.stack_file, backed_up.stack_file.read_text())
        with pytest.raises(CommandError, match="backups:\n      folder:"):
            cli.backup.create.create_backup(stack)


def test_a_destroy_takes_the_clock_away_and_leaves_the_archives(backed_up):
    before = archives(backed_up)
    assert before
    backed_up.destroy()
    assert not cron_file(backed_up).exists()
    assert not Path(f"/etc/sentient-mqtt/{backed_up.container}").exists()
    assert archives(backed_up) == before
