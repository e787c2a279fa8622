"""Scheduled backups on the host, and the commands that create, verify and restore one."""

import subprocess
from pathlib import Path

import pytest
from patience import eventually
from typing_in_process import types_command

import cli.backup.create
from cli.errors import CommandError
from cli.stack import Stack


@pytest.fixture(scope="module")
def backed_up(make_site, shared_folder):
    site = make_site("backed-up")

    def declare(config):
        config["broker"]["backups"] = {
            "folder": str(shared_folder / "backups"),
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

    def run(*words, answer="no"):
        monkeypatch.setattr("builtins.input", lambda _: answer)
        capfd.readouterr()
        types_command(*words)
        return capfd.readouterr().out

    return run


def test_host_creates_backups_by_schedule(backed_up):
    file = cron_file(backed_up)
    assert file.stat().st_mode & 0o777 == 0o644
    script = Path(f"/etc/sentient-mqtt/{backed_up.container}/backup")
    assert script.stat().st_mode & 0o777 == 0o700
    text = script.read_text() + file.read_text()
    assert not any(backed_up.password(user) in text for user in backed_up.settings.users)

    cron = subprocess.Popen(["cron", "-f"], stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: archives(backed_up), 150)
    finally:
        cron.terminate()
        cron.wait(10)


def test_second_up_changes_nothing(backed_up):
    backed_up.up("--expect-no-changes")


def test_backup_is_created_verified_and_restored_by_commands(backed_up, types):
    with backed_up.client("admin") as admin:
        admin.publish("paragon/room/status/door", "open", retain=True)
    printed = types("backup", "create")
    assert "It holds 1 retained messages" in printed
    archive = printed.partition(": ")[0]
    assert Path(archive) in archives(backed_up)
    assert f"{archive}: complete" in types("backup", "verify")
    with backed_up.client("admin") as admin:
        admin.publish("paragon/room/status/door", "shut", retain=True)
    started = backed_up.inspect()["State"]["StartedAt"]

    with pytest.raises(CommandError, match="the answer was not yes"):
        types("backup", "restore", "latest")
    assert backed_up.inspect()["State"]["StartedAt"] == started

    printed = types("backup", "restore", "latest", answer="yes")
    assert "It replaces what" in printed
    assert "downtime: " in printed
    with backed_up.eventually_client("admin") as admin:
        admin.subscribe("paragon/room/status/door")
        assert admin.got("paragon/room/status/door").text == "open"
    backed_up.up("--expect-no-changes")


def test_restore_of_a_missing_archive_is_an_error(types):
    with pytest.raises(CommandError, match="name an archive"):
        types("backup", "restore", "")
    with pytest.raises(CommandError, match="is not on the host"):
        types("backup", "restore", "/nowhere/x.tar.gz", "--yes")


def test_backup_without_declared_backups_is_an_error_with_an_example(backed_up, types):
    with backed_up.edited(lambda config: config["broker"].pop("backups")):
        stack = Stack.parse("e2e", backed_up.stack_file, backed_up.stack_file.read_text())
        with pytest.raises(CommandError, match="backups:\n      folder:"):
            cli.backup.create.create_backup(stack)


def test_destroy_removes_the_schedule_and_keeps_the_archives(backed_up):
    before = archives(backed_up)
    assert before
    backed_up.destroy()
    assert not cron_file(backed_up).exists()
    assert not Path(f"/etc/sentient-mqtt/{backed_up.container}").exists()
    assert archives(backed_up) == before
