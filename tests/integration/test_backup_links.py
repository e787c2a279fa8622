"""Backup and restore follow no name that a compromised broker creates in its data folder."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from backup_scripts import (
    SOCKET,
    STACK,
    assert_no_leftovers,
    backup,
    drill,
    give_to_the_broker,
    publish_messages,
    restore,
    retained_messages,
)
from patience import eventually

from broker.backup.backups import SCRIPTS, Report, backup_calls
from broker.host.layout import database_call, ready_call
from broker.host.script_calls import ScriptCall


@pytest.fixture
def running(start, tmp_path):
    def change(raw):
        raw["broker"]["backups"] = {"folder": str(tmp_path / "backups"), "keep": 3}

    return start(change)


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
