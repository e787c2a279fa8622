"""A restore brings the data of an archive back, or leaves the broker with its previous data."""

import shutil
import subprocess
from pathlib import Path

import pytest
from backup_scripts import (
    assert_no_leftovers,
    backup,
    delivered,
    drill,
    folder,
    give_to_the_broker,
    publish_messages,
    replace_with_empty_data,
    restore,
    retained_messages,
    shim,
)
from conftest import ROOT, SUITES
from patience import eventually

MANY = 10_000
PAGE = ROOT / "docs" / "explanation" / "faults.md"


@pytest.fixture
def running(start, tmp_path):
    def change(raw):
        raw["broker"]["backups"] = {"folder": str(tmp_path / "backups"), "keep": 3}

    return start(change)


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


def test_restore_on_the_other_release_line_and_back(running, line, fallback_image):
    publish_messages(running, 3)
    there = backup(running).facts["archive"]
    here = running.image
    running.image = fallback_image(SUITES["2.1" if line == "2.0" else "2.0"])
    replace_with_empty_data(running)
    restore(running, there)
    assert len(retained_messages(running)) == 3
    back = backup(running).facts["archive"]
    running.image = here
    replace_with_empty_data(running)
    restore(running, back)
    assert len(retained_messages(running)) == 3
    assert len(delivered(running)) == 3
