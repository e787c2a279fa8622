"""A full disk costs the start guard neither the database nor a connection."""

import contextlib
import os
import subprocess

import pytest
from guard_scripts import MESSAGES, data, guard, has_no_leftovers, retained, start_with_messages


@pytest.fixture
def running(start):
    return start_with_messages(start)


@pytest.fixture
def small_disk(running):
    """Return the data folder on a disk of 512 KiB, with the database that the broker saved."""
    place = data(running)
    running.docker("stop", running.broker.container)
    stopped = (place / "mosquitto.db").read_bytes()
    assert stopped
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=True)
    try:
        (place / "mosquitto.db").write_bytes(stopped)
        for path in (place, place / "mosquitto.db"):
            os.chown(path, 1883, 1883)
        running.docker("rm", running.broker.container)
        running.docker(*running.container())
        running.await_answer()
        yield place
    finally:
        running.docker("rm", "--force", "--volumes", running.broker.container)
        subprocess.run(["umount", place], check=True)


def test_full_disk_keeps_the_database_and_connections(running, small_disk):
    stopped = (small_disk / "mosquitto.db").read_bytes()
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))

    with running.client("sentient_monitor_prod") as unaffected:
        done = guard(running, one_way=True)
        assert unaffected.disconnected is None

    assert done.returncode == 1
    assert "is the disk full?" in done.stderr
    assert "was not replaced: it runs on" in done.stderr
    assert (small_disk / "mosquitto.db").read_bytes() == stopped
    assert has_no_leftovers(running, "filler")
    (small_disk / "filler").unlink()
    assert guard(running, one_way=True).returncode == 0
    assert retained(running) == MESSAGES


def test_save_without_room_keeps_the_database_on_the_disk(running, small_disk):
    """
    The guard tests for room for the previous size of the database.

    If Mosquitto 2.0 can't write a small database, it leaves an empty one and goes on. 2.1 exits,
    and Docker starts it again with the database on the disk.
    """
    stopped = (small_disk / "mosquitto.db").read_bytes()
    with running.client("admin") as admin:
        for number in range(100):
            admin.publish(f"paragon/room/events/{number}", "x" * 10_000, retain=True)

    done = guard(running, one_way=True)

    assert done.returncode == 1
    assert "is the disk full?" in done.stderr
    assert "was not replaced: it runs on" in done.stderr
    assert (small_disk / "mosquitto.db").read_bytes() == stopped
    running.await_answer()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    assert guard(running, one_way=True).returncode == 0
    assert retained(running) == MESSAGES
