"""A backup holds the broker's data, and neither a failure nor a wrong clock costs an archive."""

import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
from backup_scripts import (
    SOCKET,
    STACK,
    archives,
    assert_no_leftovers,
    backup,
    drill,
    folder,
    publish_messages,
    replace_with_empty_data,
    restore,
    retained_messages,
)
from host_scripts import host_scripts
from patience import eventually

from broker.backup.backups import SCRIPTS, backup_calls
from broker.host.script_calls import render_stdin


@pytest.fixture
def running(start, tmp_path):
    def change(raw):
        raw["broker"]["backups"] = {"folder": str(tmp_path / "backups"), "keep": 3}

    return start(change)


def test_archive_is_readable_by_root_only_and_lists_its_files(running):
    publish_messages(running, 3)
    made = backup(running)
    (archive,) = archives(running)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert archive.stat().st_uid == 0
    assert folder(running).stat().st_mode & 0o777 == 0o700
    assert made.facts["archive"] == str(archive)
    # The canary has a login, too.
    assert made.facts["logins"] == str(len(running.passwords) + 1)
    with tarfile.open(archive) as packed:
        names = {member.name for member in packed.getmembers() if member.isfile()}
        manifest = packed.extractfile("manifest").read().decode()
    assert names == {
        "manifest",
        "data/mosquitto.db",
        *(f"config/{name}" for name in (
            "mosquitto.conf", "mosquitto_passwd", "mosquitto.acl", "logins",
            "health/mosquitto_sub", "canary/mosquitto_pub",
        )),
    }  # fmt: skip
    assert f"container {running.broker.container}\n" in manifest
    assert not any(password in manifest for password in running.passwords.values())


def test_full_disk_keeps_the_previous_backups(running):
    small = folder(running)
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small], check=True)
    try:
        publish_messages(running, 3)
        backup(running)
        (first,) = archives(running)
        with running.client("admin") as admin:
            admin.publish("paragon/room/status/large", os.urandom(400_000), retain=True)
        error = backup(running, well=False)
        assert "is the disk full? No backup was made, and none was removed" in error
        assert archives(running) == [first]
        assert_no_leftovers(running)
        assert drill(running).facts["retained"] == "3"
    finally:
        # A process that BusyBox's timeout(1) leaves behind uses it for another second.
        subprocess.run(["umount", "--lazy", small], check=True)


def started_backup(running):
    """Start a backup in its own process group and return the process."""
    scripts = host_scripts(*SCRIPTS)
    calls = backup_calls(running.broker, running.broker.backups, STACK, SOCKET)
    process = subprocess.Popen(
        ["sh", "-s", "apply"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    process.stdin.write(render_stdin(scripts, calls))
    process.stdin.close()
    return process


def test_second_concurrent_backup_is_refused(running):
    publish_messages(running, 3)
    first = started_backup(running)
    eventually((folder(running) / f".stage-{running.broker.container}" / "data").exists, 30)
    # It holds the lock for longer than another one waits.
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        assert "another backup, drill or restore is under way" in backup(running, well=False)
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert first.wait(60) == 0
    assert drill(running).facts["retained"] == "3"
    assert len(archives(running)) == 1


@pytest.mark.parametrize("tool", ["tar", "sync"])
def test_killed_backup_leaves_no_archive_and_the_next_succeeds(
    running, tool, tmp_path, monkeypatch
):
    """Killed before the archive is packed, and before it is renamed."""
    publish_messages(running, 3)
    reached = tmp_path / "reached"
    stub = tmp_path / "stubs" / tool
    stub.parent.mkdir()
    stub.write_text(f"#!/bin/sh\n: >{reached}\nexec sleep 600\n")
    stub.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{stub.parent}:{os.environ['PATH']}")
        first = started_backup(running)
    eventually(reached.exists, 30)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(10)
    assert archives(running) == []
    assert running.state() == "running"
    backup(running)
    assert drill(running).facts["retained"] == "3"
    assert_no_leftovers(running)


def test_old_archives_are_deleted_after_a_new_one(running):
    publish_messages(running, 2)
    place = folder(running)
    place.mkdir(mode=0o700)
    name = running.broker.container
    for day in range(1, 5):
        (place / f"{name}-2020010{day}T033000Z.tar.gz").write_text("of a year ago")
    (place / "another-20200101T033000Z.tar.gz").write_text("of another broker")
    made = backup(running)
    assert [path.name for path in archives(running) if path.name.startswith(name)] == [
        f"{name}-20200103T033000Z.tar.gz",
        f"{name}-20200104T033000Z.tar.gz",
        Path(made.facts["archive"]).name,
    ]
    assert (place / "another-20200101T033000Z.tar.gz").exists()


def test_archives_with_a_future_time_are_not_the_latest(running):
    """A wrong clock made them; a new archive must not be deleted as the oldest."""
    publish_messages(running, 2)
    place = folder(running)
    place.mkdir(mode=0o700)
    name = running.broker.container
    for day in range(1, 5):
        (place / f"{name}-2090010{day}T033000Z.tar.gz").write_text("of a time to come")
    made = Path(backup(running).facts["archive"])
    assert made in archives(running)
    assert len(archives(running)) == 3
    assert drill(running).facts["archive"] == str(made)


def test_last_archive_with_messages_is_kept_after_a_data_loss(running):
    publish_messages(running, 2)
    full = Path(backup(running).facts["archive"])
    replace_with_empty_data(running)
    empty = Path(backup(running, keep=1).facts["archive"])
    assert archives(running) == [full, empty]
    # A newer archive with messages replaces it.
    publish_messages(running, 1)
    last = Path(backup(running, keep=1).facts["archive"])
    assert archives(running) == [last]


def test_encrypted_archive_needs_its_identity(running, tmp_path):
    identities = []
    for name in ("own", "another"):
        path = tmp_path / name
        subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
        identities.append(path.read_text())
    public = subprocess.run(
        ["age-keygen", "-y", tmp_path / "own"], check=True, capture_output=True, text=True
    ).stdout.strip()
    publish_messages(running, 3)
    made = backup(running, recipient=public)
    (archive,) = archives(running)
    assert archive.name.endswith(".tar.gz.age")
    assert made.facts["archive"] == str(archive)
    assert archive.read_bytes().startswith(b"age-encryption.org/v1")

    assert "is encrypted; add --identity FILE" in drill(running, well=False)
    assert "does not open it with this identity" in drill(
        running, identity=identities[1], well=False
    )
    assert drill(running, identity=identities[0]).facts["retained"] == "3"
    replace_with_empty_data(running)
    restore(running, identity=identities[0])
    assert len(retained_messages(running)) == 3
