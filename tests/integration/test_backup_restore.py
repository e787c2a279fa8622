"""A backup holds the broker's data, a restore brings it back, and other data is not accepted."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
from conftest import ROOT, SUITES
from host_scripts import host_scripts
from mqtt import Client
from patience import eventually

from broker.backup.backups import (
    SCRIPTS,
    Report,
    archive_calls,
    backup_calls,
    drill_calls,
    restore_calls,
)
from broker.host.layout import database_call, ready_call
from broker.host.script_calls import ScriptCall, render_stdin

MANY = 10_000
PAGE = ROOT / "docs" / "explanation" / "faults.md"
SOCKET = "unix:///var/run/docker.sock"
STACK = "prod"


@pytest.fixture
def running(start, tmp_path):
    def change(raw):
        raw["broker"]["backups"] = {"folder": str(tmp_path / "backups"), "keep": 3}

    return start(change)


def folder(running) -> Path:
    return Path(running.broker.backups.folder)


def archives(running) -> list[Path]:
    found = folder(running).glob("*Z.tar.gz*")
    return sorted(path for path in found if not path.name.startswith("."))


def backup(running, *, recipient=None, well=True, keep=None):
    declared = running.broker.backups.model_copy(
        update={"recipient": recipient, "keep": keep or running.broker.backups.keep}
    )
    done = running.script(
        " ".join(SCRIPTS), "apply", backup_calls(running.broker, declared, STACK, SOCKET)
    )
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def drill(running, archive="latest", *, identity="", stack=STACK, well=True):
    calls = [
        *archive_calls(running.broker, running.broker.backups, stack, SOCKET, identity),
        *drill_calls(running.broker, str(archive)),
    ]
    done = running.script(
        "lib/database.sh lib/archive.sh commands/verify_backup.sh", "apply", calls
    )
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def restore(
    running, archive="latest", *, identity="", action="apply", stack=STACK, other=False, well=True
):
    calls = [
        *archive_calls(running.broker, running.broker.backups, stack, SOCKET, identity),
        *drill_calls(running.broker, str(archive)),
        *restore_calls(running.broker, other=other),
    ]
    names = (
        "lib/database.sh commands/await_ready.sh lib/archive.sh commands/verify_backup.sh "
        "commands/restore.sh"
    )
    done = running.script(names, action, calls)
    assert (done.returncode == 0) is well, done.stderr
    return Report.parse(done.stdout) if well else done.stderr


def publish_messages(running, number, *, text="as it was"):
    """Publish *number* retained messages, and as many for a disconnected client."""
    with session(running) as reader:
        reader.subscribe("paragon/room/events/#")
    with running.client("admin") as admin:
        for index in range(number):
            admin.publish(f"paragon/room/status/{index}", f"{text} {index}", retain=True)
            admin.publish(f"paragon/room/events/{index}", f"{text} {index}")


def session(running) -> Client:
    return running.client("sentient_api_prod", session="away")


def retained_messages(running) -> dict[str, str]:
    """Return the retained messages by topic."""
    with running.client("admin") as admin:
        admin.subscribe("paragon/room/status/#")
        with running.client("admin") as other:
            other.publish("paragon/room/status/last", "last")
        admin.got("paragon/room/status/last", "last", within=300)
        return {message.topic: message.text for message in admin.received if message.retained}


def delivered(running) -> list[str]:
    """Return the messages that were queued for the disconnected client."""
    with session(running) as reader, running.client("admin") as admin:
        admin.publish("paragon/room/events/last", "last")
        reader.got("paragon/room/events/last", "last", within=300)
        return [message.text for message in reader.received if message.text != "last"]


def replace_with_empty_data(running):
    """Replace the broker by one with an empty data folder."""
    running.docker("rm", "--force", "--volumes", running.broker.container)
    shutil.rmtree(running.broker.folders.data)
    running.start()


def assert_no_leftovers(running):
    data = {path.name for path in Path(running.broker.folders.data).iterdir()}
    assert data <= {"mosquitto.db"}
    assert not [
        path.name
        for path in folder(running).glob(".*")
        if path.name.startswith((".partial", ".stage"))
    ]


def test_retained_and_queued_messages_are_restored(running, line):
    publish_messages(running, MANY)
    made = backup(running)
    assert made.facts["retained"] == made.facts["queued"] == str(MANY)
    assert made.facts["sessions"] == "1"
    tried = drill(running)
    assert tried.facts["archive"] == made.facts["archive"]
    replace_with_empty_data(running)
    assert retained_messages(running) == {}

    preview = restore(running, action="look")
    assert preview.facts["replaces"].split()[1:] == ["0", "0"]
    assert retained_messages(running) == {} or set(retained_messages(running)) == {
        "paragon/room/status/last"
    }
    done = restore(running)

    expected = [f"as it was {index}" for index in range(MANY)]
    found = retained_messages(running)
    assert [found[f"paragon/room/status/{index}"] for index in range(MANY)] == expected
    assert len(found) == MANY
    # Every message once, in the order of publication.
    waited = delivered(running)
    assert waited == expected
    assert Path(done.facts["kept"]).is_dir()
    assert_no_leftovers(running)
    row = f"| {line} | {MANY:,} and {MANY:,} | {len(found):,} | {len(waited):,}, in their order |\n"
    assert row in PAGE.read_text(encoding="utf-8"), f"{PAGE} doesn't say:\n{row}"


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


def test_replaced_database_is_kept_and_can_be_restored(running):
    publish_messages(running, 5, text="first")
    backup(running)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "second", retain=True)
    # A copy from before an incomplete start.
    unfinished = Path(running.broker.folders.data) / ".before-start"
    unfinished.mkdir()
    (unfinished / "held").write_text("9 0 0\n")
    (unfinished / "mosquitto.db").write_text("the only copy of nine")
    give_to_the_broker(unfinished)

    done = restore(running)

    only = Path(done.facts["kept"]) / "before-start.db"
    assert only.read_text() == "the only copy of nine"
    assert not unfinished.exists()
    assert retained_messages(running)["paragon/room/status/0"] == "first 0"
    aside = Path(done.facts["kept"]) / "mosquitto.db"
    running.docker("stop", running.broker.container)
    shutil.copy2(aside, Path(running.broker.folders.data) / "mosquitto.db")
    running.docker("start", running.broker.container)
    running.await_answer()
    assert retained_messages(running)["paragon/room/status/0"] == "second"


def give_to_the_broker(place):
    for path in (place, *place.iterdir()):
        os.lchown(path, 1883, 1883)


def damage_truncated(archive, tmp_path):
    whole = archive.read_bytes()
    (tmp_path / archive.name).write_bytes(whole[: len(whole) // 2])


def damage_flipped(archive, tmp_path):
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / archive.name).write_bytes(whole)


def repack(archive, tmp_path, change):
    place = tmp_path / "unpacked"
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="tar")
    change(place)
    with tarfile.open(tmp_path / archive.name, "w:gz") as packed:
        for path in sorted(place.iterdir()):
            packed.add(path, path.name)


def damage_tampered(archive, tmp_path):
    repack(
        archive,
        tmp_path,
        lambda place: (place / "config/mosquitto.acl").write_text("topic readwrite #\n"),
    )


def damage_added(archive, tmp_path):
    repack(archive, tmp_path, lambda place: (place / "config/more").write_text("x"))


def damage_linked(archive, tmp_path):
    repack(archive, tmp_path, lambda place: (place / "config/more").symlink_to("/etc/shadow"))


def damage_counts(archive, tmp_path):
    def change(place):
        manifest = place / "manifest"
        manifest.write_text(manifest.read_text().replace("retained 4\n", "retained 3\n"))

    repack(archive, tmp_path, change)


def damage_unhashed(archive, tmp_path):
    def change(place):
        (place / "config/mosquitto.acl").write_text("topic readwrite #\n")
        manifest = place / "manifest"
        text = re.sub(
            r"(?m)^file [0-9a-f]+ (\d+ config/mosquitto\.acl)$", r"file  \1", manifest.read_text()
        )
        assert "file  " in text
        manifest.write_text(text)

    repack(archive, tmp_path, change)


def damage_foreign(archive, tmp_path):
    with tarfile.open(tmp_path / archive.name, "w:gz") as packed:
        packed.add(__file__, "notes.py")


def damage_not_one(archive, tmp_path):
    (tmp_path / archive.name).write_text("hello")


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (damage_truncated, "it is truncated, or is not a gzip file"),
        (damage_flipped, "it is truncated, or is not a gzip file"),
        (damage_tampered, "a file differs from the manifest"),
        (damage_added, "it holds files that the manifest does not name"),
        (damage_linked, "it holds links or special files"),
        (damage_unhashed, "it holds files that the manifest does not name"),
        (
            damage_counts,
            "a broker finds 4 1 4 in it (retained messages, sessions, queued messages)",
        ),
        (damage_foreign, "this program did not make it"),
        (damage_not_one, "it is truncated, or is not a gzip file"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_archive_is_an_error_and_changes_nothing(damaged, damage, error, tmp_path):
    (archive,) = archives(damaged)
    damage(archive, tmp_path)
    bad = tmp_path / archive.name
    before = damaged.docker("inspect", "--format", "{{.State.StartedAt}}", damaged.broker.container)

    for message in (drill(damaged, bad, well=False), restore(damaged, bad, well=False)):
        assert error in message
        assert str(bad) in message
        assert "Not" in message.title()
    assert before == damaged.docker(
        "inspect", "--format", "{{.State.StartedAt}}", damaged.broker.container
    )
    assert_no_leftovers(damaged)


@pytest.fixture(scope="module")
def damaged(start, tmp_path_factory):
    """Return a broker with one archive, which no test may change."""
    place = tmp_path_factory.mktemp("backups")

    def change(raw):
        raw["broker"]["backups"] = {"folder": str(place / "backups")}

    running = start(change)
    publish_messages(running, 4)
    backup(running)
    return running


def test_expired_messages_and_sessions_are_no_damage_and_are_reported(damaged, tmp_path):
    """The manifest names a retained message and a session that have expired since."""
    (archive,) = archives(damaged)

    def change(place):
        text = (place / "manifest").read_text()
        for now, then in (("retained 4", "retained 5"), ("sessions 1", "sessions 2")):
            assert f"\n{now}\n" in text
            text = text.replace(f"\n{now}\n", f"\n{then}\n")
        (place / "manifest").write_text(text)

    repack(archive, tmp_path, change)
    found = drill(damaged, tmp_path / archive.name)

    assert found.counts().startswith("4 retained messages, 1 sessions")
    assert found.ended().startswith("It held 5 retained messages, 2 sessions")


def test_archive_without_its_retained_messages_is_damaged(damaged, tmp_path):
    """A broker that counts no retained message has not read the database."""
    (archive,) = archives(damaged)

    def change(place):
        database, manifest = place / "data/mosquitto.db", place / "manifest"
        line = re.search(r"(?m)^file [0-9a-f]+ \d+ data/mosquitto\.db\n", manifest.read_text())
        manifest.write_text(manifest.read_text().replace(line[0], ""))
        database.unlink()

    repack(archive, tmp_path, change)
    assert "a broker finds 0 0 0 in it" in drill(damaged, tmp_path / archive.name, well=False)


def test_archive_with_an_expired_session_is_restored(running):
    """The session has a `SessionExpiryInterval` that ends between backup and restore."""
    with running.client("sentient_api_prod", session="short", expiry=60) as reader:
        reader.subscribe("paragon/room/events/#")
    with running.client("admin") as admin:
        for index in range(4):
            admin.publish(f"paragon/room/status/{index}", "kept", retain=True)
            admin.publish(f"paragon/room/events/{index}", "waits")
    made = backup(running)
    assert [made.facts[key] for key in ("retained", "sessions", "queued")] == ["4", "1", "4"]

    found = eventually(lambda: (report := drill(running)).facts["sessions"] == "0" and report, 60)

    assert found.ended()
    replace_with_empty_data(running)
    restore(running)
    assert len(retained_messages(running)) == 4


def test_missing_archive_is_an_error(damaged):
    assert "/nowhere.tar.gz: is not on the host" in restore(damaged, "/nowhere.tar.gz", well=False)


def test_archive_of_another_stack_needs_an_option(damaged):
    error = restore(damaged, stack="dev", well=False)
    assert "is of stack prod" in error
    assert "add --other" in error
    assert restore(damaged, stack="dev", other=True, action="look").facts["retained"] == "4"
    # A drill on another stack proves nothing for the archives of that stack.
    note = folder(damaged) / f".drilled-{damaged.broker.container}"
    note.unlink(missing_ok=True)
    (archive,) = archives(damaged)
    assert drill(damaged, archive, stack="dev").facts["retained"] == "4"
    assert not note.exists()
    drill(damaged)
    assert note.read_text().split()[1] == archive.name


def test_restore_on_another_host_in_other_folders(damaged, start, tmp_path):
    (archive,) = archives(damaged)
    elsewhere = start(lambda raw: raw["broker"].update(backups={"folder": str(tmp_path / "new")}))
    assert elsewhere.broker.folders != damaged.broker.folders

    assert "add --other" in restore(elsewhere, archive, well=False)
    restore(elsewhere, archive, other=True)

    assert sorted(retained_messages(elsewhere).values()) == [
        f"as it was {index}" for index in range(4)
    ]
    assert delivered(elsewhere) == [f"as it was {index}" for index in range(4)]


def test_archive_with_whose_files_no_user_could_log_in_is_an_error(damaged, tmp_path):
    (archive,) = archives(damaged)

    def without_rules(place):
        manifest = place / "manifest"
        lines = manifest.read_text().splitlines(keepends=True)
        manifest.write_text("".join(line for line in lines if "mosquitto.acl" not in line))
        (place / "config/mosquitto.acl").unlink()

    repack(archive, tmp_path, without_rules)
    bad = tmp_path / archive.name
    assert "holds no mosquitto.acl: no user could log in" in drill(damaged, bad, well=False)

    def with_more_logins(place):
        manifest = place / "manifest"
        manifest.write_text(re.sub(r"(?m)^logins \d+$", "logins 99", manifest.read_text()))

    shutil.rmtree(tmp_path / "unpacked")
    repack(archive, tmp_path, with_more_logins)
    assert "holds other logins than its manifest says" in drill(damaged, bad, well=False)


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
        subprocess.run(["umount", small], check=True)


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
    assert "another backup, drill or restore is under way" in backup(running, well=False)
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


def test_failed_start_restores_the_previous_database(running, tmp_path, monkeypatch):
    publish_messages(running, 3, text="first")
    backup(running)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "second", retain=True)
    once = tmp_path / "once"
    body = f'case " $* " in *" start "*) [ -e {once} ] || {{ : >{once}; exit 1; }} ;; esac'
    shim(tmp_path, monkeypatch, body)
    error = restore(running, well=False)
    assert "it runs with its own again" in error
    assert retained_messages(running)["paragon/room/status/0"] == "second"
    assert_no_leftovers(running)


def shim(tmp_path, monkeypatch, body):
    """Put a ``docker`` before the real one, ``$real``; *body* is its sh."""
    file = tmp_path / "bin" / "docker"
    file.parent.mkdir()
    file.write_text(f'#!/bin/sh\nreal={shutil.which("docker")}\n{body}\nexec "$real" "$@"\n')
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def small_disk(start, tmp_path_factory):
    """Return a broker with data on its own disk, and an archive from before its last message."""
    place = tmp_path_factory.mktemp("small")
    data = place / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", data], check=True)

    def change(raw):
        raw["broker"]["folders"]["data"] = str(data)
        raw["broker"]["backups"] = {"folder": str(place / "backups")}

    running = start(change)
    publish_messages(running, 3, text="first")
    backup(running)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "second", retain=True)
    yield running
    running.docker("rm", "--force", running.broker.container)
    subprocess.run(["umount", data], check=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # Ctrl-C while the container stops, and while it starts.
        (
            'case " $* " in *" stop "*) [ -e {once} ] || '
            '{{ : >{once}; kill -INT $PPID; "$real" "$@"; exit; }} ;; esac',
            "runs again with its own database. Nothing was restored",
        ),
        (
            'case " $* " in *" start "*) [ -e {once} ] || '
            '{{ : >{once}; kill -INT $PPID; "$real" "$@"; exit; }} ;; esac',
            "it runs with its own again",
        ),
        # Another program fills the disk during the downtime.
        (
            'case " $* " in *" stop "*) [ -e {once} ] || {{ : >{once}; "$real" "$@"; '
            "dd if=/dev/zero of={data}/filler bs=4k 2>/dev/null; exit 0; }} ;; esac",
            "runs again with its own database. Nothing was restored",
        ),
        # The restored database can't be saved, so it can't be verified.
        (
            'case " $* " in *" start "*) : >{once} ;; '
            '*"kill -USR1 "*) [ ! -e {once} ] || exit 1 ;; esac',
            "it runs with its own again",
        ),
    ],
    ids=["interrupted-stop", "interrupted-start", "full", "unwritten"],
)
def test_interrupted_restore_leaves_a_running_broker(
    small_disk, body, message, tmp_path, monkeypatch
):
    data = Path(small_disk.broker.folders.data)
    aside = {path.name for path in folder(small_disk).glob("before-restore-*")}
    shim(tmp_path, monkeypatch, body.format(once=tmp_path / "once", data=data))
    try:
        error = restore(small_disk, well=False)
    finally:
        (data / "filler").unlink(missing_ok=True)

    assert message in error
    assert small_disk.state() == "running"
    small_disk.await_answer()
    assert retained_messages(small_disk)["paragon/room/status/0"] == "second"
    assert_no_leftovers(small_disk)
    # If the database was replaced, the previous one is kept and the message names its folder.
    new = [path for path in folder(small_disk).glob("before-restore-*") if path.name not in aside]
    assert bool(new) is ("its own again" in message)
    assert all(str(path) in error and (path / "mosquitto.db").exists() for path in new)


def test_interrupted_restore_keeps_an_only_copy(small_disk, tmp_path, monkeypatch):
    unfinished = Path(small_disk.broker.folders.data) / ".before-start"
    unfinished.mkdir()
    (unfinished / "held").write_text("9 0 0\n")
    (unfinished / "mosquitto.db").write_text("the only copy")
    give_to_the_broker(unfinished)
    once = tmp_path / "once"
    body = f'case " $* " in *" stop "*) [ -e {once} ] || {{ : >{once}; kill -INT $PPID; }} ;; esac'
    shim(tmp_path, monkeypatch, body)

    error = restore(small_disk, well=False)

    (copy,) = folder(small_disk).glob("before-restore-*/before-start.db")
    assert copy.read_text() == "the only copy"
    assert str(copy.parent) in error
    small_disk.await_answer()


def test_broker_with_an_invalid_database_is_restored(running, line):
    publish_messages(running, 3)
    backup(running)
    name = running.broker.container
    running.docker("stop", name)
    (Path(running.broker.folders.data) / "mosquitto.db").write_bytes(b"garbage" * 99)
    running.docker("start", name, check=False)
    counted = ("inspect", "--format", "{{.RestartCount}} {{.State.Restarting}}", name)
    # 2.1 empties it and runs after the second start. 2.0 restarts forever, with growing pauses.
    expected = {"1 false"} if line == "2.1" else {f"{count} true" for count in range(2, 99)}
    eventually(lambda: running.docker(*counted).strip() in expected, 30)

    restore(running)

    assert running.state() == "running"
    assert len(retained_messages(running)) == 3


def test_restore_on_the_other_release_line_and_back(running, line, stand_in):
    publish_messages(running, 3)
    there = backup(running).facts["archive"]
    here = running.image
    running.image = stand_in(SUITES["2.1" if line == "2.0" else "2.0"])
    replace_with_empty_data(running)
    restore(running, there)
    assert len(retained_messages(running)) == 3
    back = backup(running).facts["archive"]
    running.image = here
    replace_with_empty_data(running)
    restore(running, back)
    assert len(retained_messages(running)) == 3
    assert len(delivered(running)) == 3


def test_database_of_a_future_version_is_an_error(damaged, tmp_path):
    (archive,) = archives(damaged)

    def change(place):
        database, manifest = place / "data/mosquitto.db", place / "manifest"
        content = bytearray(database.read_bytes())
        # 15 bytes of magic, a checksum of 4, and the version as 4 bytes (mosquitto's persist.h).
        assert content[19:22] == bytes(3)
        content[22] = 99
        was = hashlib.sha256(database.read_bytes()).hexdigest()
        database.write_bytes(content)
        text = manifest.read_text().replace(was, hashlib.sha256(content).hexdigest())
        manifest.write_text(text.replace("image ", "image mosquitto:99 was "))

    repack(archive, tmp_path, change)
    error = restore(damaged, tmp_path / archive.name, well=False)
    assert "can't read its database" in error
    assert "mosquitto:99" in error
    assert "Set broker.image" in error
    assert_no_leftovers(damaged)


NAMES = (
    *(".backup", ".backup-rehearsal", ".before-start", ".before-write", ".incoming", ".rehearsal"),
    "rehearsal.conf",
)


@pytest.fixture
def outside(tmp_path):
    """Return a folder of root with names that a script uses (attack C2 on version 0.1)."""
    place = tmp_path / "outside"
    for name in ("data", "config"):
        (place / name).mkdir(parents=True)
    for name in ("mosquitto.db", "held", "started", "data/mosquitto.db", "config/secret"):
        (place / name).write_text(f"{name} of somebody else")
    return place


def as_it_is(place):
    def look(path):
        found = path.lstat()
        text = path.read_bytes() if path.is_file() else b""
        return found.st_mode, found.st_uid, found.st_ino, found.st_nlink, found.st_mtime_ns, text

    return {str(path): look(path) for path in (place, *sorted(place.rglob("*")))}


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_names_that_a_broker_created_are_not_followed(running, outside, kind):
    publish_messages(running, 3)
    data = Path(running.broker.folders.data)
    before = as_it_is(outside)

    def take(name):
        path = data / name
        if kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
            for inner in ("held", "mosquitto.db", "started"):
                (path / inner).symlink_to(outside / inner)
            give_to_the_broker(path)
        os.lchown(path, 1883, 1883)

    def take_all():
        for name in NAMES:
            path = data / name
            if path.is_symlink() or path.exists():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            take(name)

    take_all()
    assert backup(running).facts["retained"] == "3"
    take_all()
    assert drill(running).facts["retained"] == "3"
    take_all()
    done = restore(running)
    running.await_answer()
    assert len(retained_messages(running)) == 3
    assert as_it_is(outside) == before
    assert Path(done.facts["kept"], "mosquitto.db").stat().st_uid == 1883


RACE = """
while :; do
  for name in $NAMES; do [ -L "$name" ] || { rm -rf "$name"; ln -s "$OUTSIDE" "$name"; }; done
done
"""


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_links_that_a_broker_creates_during_a_run_are_not_followed(running, outside):
    """In version 0.1 a backup deletes and fills the folder `data` of the link's target."""
    publish_messages(running, 3)
    backup(running)
    data = Path(running.broker.folders.data)
    before = as_it_is(outside)
    racer = subprocess.Popen(
        [
            *("setpriv", "--reuid", "1883", "--regid", "1883", "--clear-groups", "--"),
            *("sh", "-c", RACE),
        ],
        cwd=data,
        env={**os.environ, "NAMES": " ".join(NAMES), "OUTSIDE": str(outside)},
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually((data / NAMES[-1]).is_symlink, 10)
        for names, calls in (
            (SCRIPTS, backup_calls(running.broker, running.broker.backups, STACK, SOCKET)),
            (
                ("lib/database.sh", "commands/restart.sh", "commands/await_ready.sh"),
                [
                    database_call(running.broker, SOCKET, running.image),
                    ready_call(running.broker),
                    ScriptCall(words=("restart", "30")),
                ],
            ),
        ):
            done = running.script(" ".join(names), "apply", calls)
            assert done.returncode == 0 or done.stderr
            assert as_it_is(outside) == before
    finally:
        racer.kill()
        racer.wait()
    for name in NAMES:
        (data / name).unlink(missing_ok=True)
    assert backup(running).facts["retained"] == "3"


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_database_that_is_a_link_is_not_read(running, outside):
    publish_messages(running, 3)
    backup(running)
    running.docker("stop", running.broker.container)
    data = Path(running.broker.folders.data)
    for target in (outside / "config/secret", Path("/etc/passwd")):
        (data / "mosquitto.db").unlink()
        (data / "mosquitto.db").symlink_to(target)
        done = running.script(
            " ".join(SCRIPTS),
            "apply",
            backup_calls(running.broker, running.broker.backups, STACK, SOCKET),
        )
        made = Report.parse(done.stdout).facts.get("archive")
        if made:
            with tarfile.open(made) as packed:
                assert "data/mosquitto.db" not in packed.getnames()
        else:
            assert "its own image can't read its database. No backup was made" in done.stderr
    assert_no_leftovers(running)
