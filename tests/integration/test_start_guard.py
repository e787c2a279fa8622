"""A start or another image never costs the database: it is copied before and counted after."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import killing
import pytest
from conftest import SUITES
from mqtt import refusal

from broker.host.layout import database_call, guard_call, ready_call
from broker.host.script_calls import ScriptCall
from broker.mosquitto.reload_or_replace import start_digest

MESSAGES = 50
SOCKET = "unix:///var/run/docker.sock"


@pytest.fixture
def running(start):
    """Return a broker with messages that it has not saved yet."""
    running = start()
    with running.client("admin") as admin:
        for number in range(MESSAGES):
            admin.publish(f"paragon/room/status/{number}", f"of {number}", retain=True)
    return running


def guard(running, *, image=None, one_way=False, digest=None):
    broker = running.broker
    if one_way:
        persistence = broker.persistence.model_copy(update={"one_way": True})
        broker = broker.model_copy(update={"persistence": persistence})
    return running.script(
        "lib/database.sh commands/before_start.sh",
        "apply",
        [
            database_call(broker, SOCKET, image or running.image),
            guard_call(broker, digest or start_digest(broker)),
        ],
    )


def ready(running, *, seconds=None):
    call = ready_call(running.broker)
    words = (*call.words[:3], seconds or call.words[3], *call.words[4:])
    return running.script(
        "lib/database.sh commands/await_ready.sh",
        "apply",
        [database_call(running.broker, SOCKET, running.image), ScriptCall(words=words)],
    )


def restart(running):
    return running.script(
        "lib/database.sh commands/restart.sh commands/await_ready.sh",
        "apply",
        [
            database_call(running.broker, SOCKET, running.image),
            ready_call(running.broker),
            ScriptCall(words=("restart", "30")),
        ],
    )


def data(running):
    return Path(running.broker.folders.data)


def retained(running):
    with running.client("admin") as admin:
        admin.subscribe("paragon/#")
        with running.client("admin") as other:
            other.publish("paragon/room/events/last", "last")
        admin.got("paragon/room/events/last", "last")
        return sum(message.topic.startswith("paragon/room/status/") for message in admin.received)


def has_no_leftovers(running, *names):
    return {path.name for path in data(running).iterdir()} <= {"mosquitto.db", *names}


def test_unsaved_messages_are_in_the_next_container(running):
    assert not (data(running) / "mosquitto.db").exists()

    done = guard(running)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (data(running) / ".before-start" / "held").read_text() == f"{MESSAGES} 0 0\n"
    assert retained(running) == MESSAGES
    running.replace()
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert has_no_leftovers(running)


def fail_to_start(running, line):
    """Replace the container by one whose start fails and empties the database."""
    broken = Path(running.broker.folders.config) / "broken.conf"
    conf = Path(running.broker.folders.config) / running.broker.files.conf
    broken.write_text(conf.read_text() + "pid_file /nowhere/mosquitto.pid\n")
    shutil.chown(broken, 1883, 1883)
    running.docker("stop", running.broker.container)
    running.docker("rm", running.broker.container)
    running.docker(*running.container("--restart", "no", conf=broken.name))
    assert running.docker("wait", running.broker.container).strip() != "0"
    aside = data(running) / ".before-start" / "mosquitto.db"
    if line == "2.1":
        assert (data(running) / "mosquitto.db").stat().st_size < aside.stat().st_size / 2
    else:
        # 2.1 empties the database by itself.
        (data(running) / "mosquitto.db").unlink()


def start_well(running):
    running.docker("rm", "--force", running.broker.container)
    running.docker(*running.container())


def test_database_is_restored_after_a_failed_start(running, line):
    assert guard(running).returncode == 0
    fail_to_start(running, line)

    start_well(running)
    assert ready(running).returncode == 0

    assert retained(running) == MESSAGES, line
    assert has_no_leftovers(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
@pytest.mark.parametrize("gone", [True, False], ids=["container gone", "container ended"])
def test_next_up_restores_the_only_copy_after_a_failed_start(running, line, gone):
    """`up` was killed before it verified the start, and the next one has another digest."""
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    if gone:
        running.docker("rm", running.broker.container)
        # The database in place may even be unreadable.
        (data(running) / "mosquitto.db").write_bytes(bytes(100))

    done = guard(running, digest="another")

    assert (done.returncode, done.stderr) == (0, "")
    start_well(running)
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert has_no_leftovers(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_restart_restores_the_only_copy(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    conf = Path(running.broker.folders.config)
    shutil.copy(conf / running.broker.files.conf, conf / "broken.conf")
    shutil.chown(conf / "broken.conf", 1883, 1883)

    done = restart(running)

    assert (done.returncode, done.stderr) == (0, "")
    assert retained(running) == MESSAGES
    assert has_no_leftovers(running)


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_running_broker_with_an_emptied_database_is_replaced_and_restored(running, line):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    start_well(running)
    running.await_answer()

    assert guard(running, digest="another").returncode == 0

    running.replace()
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert has_no_leftovers(running)


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_two_different_databases_are_an_error_and_both_kept(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    start_well(running)
    running.await_answer()
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "since then", retain=True)
    docker("stop", running.broker.container)

    done = guard(running, digest="another")

    assert done.returncode == 1
    assert "holds 1 0 0 (retained messages, sessions, queued messages), and" in done.stderr
    assert f"holds {MESSAGES} 0 0. Choose one: mv " in done.stderr
    assert running.state() == "exited"
    shutil.rmtree(data(running) / ".before-start")
    assert restart(running).returncode == 0
    assert retained(running) == 1


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_copy_without_a_following_start_is_replaced(running, line):
    assert guard(running).returncode == 0
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "", retain=True)

    assert guard(running, digest="another").returncode == 0

    assert (data(running) / ".before-start" / "held").read_text() == f"{MESSAGES - 1} 0 0\n"


def test_broker_that_never_answers_keeps_the_earlier_database(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)

    done = ready(running, seconds="1")

    assert done.returncode == 1
    assert "could not log in for 1 seconds" in done.stderr
    start_well(running)
    running.await_answer()
    assert retained(running) == MESSAGES


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_busy_broker_keeps_later_messages(running, docker):
    assert guard(running).returncode == 0
    running.replace()
    running.await_answer()
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/new", "acknowledged", retain=True)
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", running.broker.container))
    os.kill(pid, signal.SIGSTOP)
    try:
        done = ready(running, seconds="1")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert done.returncode == 1
    assert "could not log in for 1 seconds" in done.stderr
    assert running.state() == "running"
    # The next `up` verifies the broker.
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES + 1
    assert has_no_leftovers(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_killed_guard_keeps_the_only_copy(running, line, tmp_path, tell):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    running.docker("rm", running.broker.container)
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("mv", "rm", "ln", "mkdir"):
        killing.put_before(shims, name)
    killing.owners_here(shims)
    place, saved = data(running), tmp_path / "saved"
    shutil.copytree(place, saved)
    copy = (saved / ".before-start" / "mosquitto.db").read_bytes()
    calls = [
        database_call(running.broker, SOCKET, running.image),
        guard_call(running.broker, "another"),
    ]

    step = code = 0
    while step == 0 or code == -signal.SIGKILL:
        step += 1
        shutil.rmtree(place)
        shutil.copytree(saved, place)
        shutil.chown(place, 1883, 1883)
        where = ("lib/database.sh commands/before_start.sh", calls, running.broker.host, shims)
        code, _, output = killing.run(*where, kill_at=step)

        assert code in (-signal.SIGKILL, 0), output
        kept = [path.read_bytes() for path in place.rglob("mosquitto.db")]
        assert copy in kept, f"step {step}"
        if not (place / "mosquitto.db").exists():
            assert killing.run(*where, kill_at=0)[0] == 0, f"step {step}"
            assert (place / "mosquitto.db").read_bytes() == copy, f"step {step}"
    assert step > 5
    tell(f"the guard: killed before any of {step - 1} steps, it keeps the only copy")


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_killed_restore_of_the_database_is_completed_by_the_next_run(running, line, tmp_path):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    start_well(running)
    shims = tmp_path / "shims"
    shims.mkdir()
    killing.put_before(shims, "mv")
    killing.owners_here(shims)
    calls = [database_call(running.broker, SOCKET, running.image), ready_call(running.broker)]

    code, _, _ = killing.run(
        "lib/database.sh commands/await_ready.sh", calls, running.broker.host, shims, kill_at=1
    )

    assert code == -signal.SIGKILL
    assert running.state() == "exited"
    assert restart(running).returncode == 0
    assert retained(running) == MESSAGES


def keep_only_a_session(running):
    """Leave no retained message, and a disconnected client with queued messages."""
    with running.client("sentient_monitor_prod", session="away") as away:
        away.subscribe("paragon/+/events/#")
    with running.client("admin") as admin:
        for number in range(MESSAGES):
            admin.publish(f"paragon/room/status/{number}", "", retain=True)
        for number in range(3):
            admin.publish("paragon/room/events/x", f"{number} queued")


def test_sessions_are_counted(running, line):
    keep_only_a_session(running)
    assert guard(running).returncode == 0
    assert (data(running) / ".before-start" / "held").read_text() == "0 1 3\n"
    fail_to_start(running, line)

    start_well(running)
    assert ready(running).returncode == 0

    with running.client("sentient_monitor_prod", session="away") as back:
        back.got("paragon/room/events/x", "2 queued")


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_image_that_would_lose_a_session_is_refused(running, line, image_that):
    keep_only_a_session(running)

    done = guard(running, image=image_that(FORGETS))

    assert done.returncode == 1
    assert "finds 0 0 0 in a copy of the database, where there are 0 1 3" in done.stderr


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_database_without_a_container_is_put_aside(running, line):
    """The database of an adopted broker, or of one that was removed by hand."""
    running.docker("stop", running.broker.container)
    running.docker("rm", running.broker.container)

    assert guard(running).returncode == 0

    running.docker(*running.container())
    fail_to_start(running, line)
    start_well(running)
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES


def test_messages_that_clients_cleared_stay_cleared(running):
    assert guard(running).returncode == 0
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "", retain=True)

    running.replace()
    assert ready(running).returncode == 0

    assert retained(running) == MESSAGES - 1


def test_other_release_line_reads_the_database_and_can_be_reverted(running, line, stand_in):
    (other,) = (stand_in(suite) for release, suite in SUITES.items() if release != line)

    done = guard(running, image=other)

    assert (done.returncode, done.stderr) == (0, "")
    assert retained(running) == MESSAGES


FORGETS = 'rm -f /mosquitto/data/.rehearsal/mosquitto.db\nexec /usr/sbin/mosquitto.real "$@"\n'
NOT_REVERTIBLE = (
    "trap 'kill -TERM $broker' TERM\n/usr/sbin/mosquitto.real \"$@\" &\nbroker=$!\n"
    "wait $broker || :\nwait $broker || :\nrm -f /mosquitto/data/.rehearsal/mosquitto.db\n"
)
ENDS = "echo 'Error: no such thing'\nexit 3\n"


@pytest.fixture
def image_that(running, docker, tmp_path):
    """Return ``image_that(script)``, which returns an image with *script* instead of the broker."""
    made: list[str] = []

    def make(script):
        name = f"localhost/guard-test:{secrets.token_hex(4)}"
        (tmp_path / "mosquitto").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "mosquitto").chmod(0o755)
        container = docker("create", running.image).strip()
        docker("cp", f"{container}:/usr/sbin/mosquitto", str(tmp_path / "real"))
        docker("cp", str(tmp_path / "real"), f"{container}:/usr/sbin/mosquitto.real")
        docker("cp", str(tmp_path / "mosquitto"), f"{container}:/usr/sbin/mosquitto")
        docker("commit", container, name)
        docker("rm", container)
        made.append(name)
        return name

    yield make
    for name in made:
        docker("rmi", "--force", name)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (FORGETS, f"finds 0 0 0 in a copy of the database, where there are {MESSAGES} 0 0"),
        (ENDS, "can't start on a copy of the database. It said: Error: no such thing"),
        (NOT_REVERTIBLE, "so the change can't be reverted. Set broker.persistence.oneWay to true"),
    ],
    ids=["forgets", "ends", "can't be reverted"],
)
def test_image_that_would_lose_data_changes_nothing(running, image_that, script, error):
    before = running.docker("inspect", "--format", "{{.Id}}", running.broker.container)
    with running.client("sentient_monitor_prod") as unaffected:
        done = guard(running, image=image_that(script))
        assert unaffected.disconnected is None

    assert done.returncode == 1
    assert error in done.stderr
    assert "was not replaced: it runs on, with the new users and rules" in done.stderr
    assert running.docker("inspect", "--format", "{{.Id}}", running.broker.container) == before
    assert retained(running) == MESSAGES
    assert has_no_leftovers(running)


def test_one_way_setting_permits_an_image_that_can_t_be_reverted(running, image_that):
    assert guard(running, image=image_that(NOT_REVERTIBLE), one_way=True).returncode == 0


def test_unchanged_container_needs_no_preparation(running):
    running.docker("rm", "--force", running.broker.container)
    label = f"sentient-mqtt.configuration={start_digest(running.broker)}"
    running.docker(*running.container("--label", label))
    running.await_answer()

    assert guard(running).returncode == 0

    assert not (data(running) / ".before-start").exists()
    assert refusal(running.port, "admin", "wrong") == "Not authorized"


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
