"""A start or another image never costs the database: it is copied before and counted after."""

import os
import shutil
import signal
from pathlib import Path

import killing
import pytest
from guard_scripts import (
    MESSAGES,
    SOCKET,
    data,
    guard,
    has_no_leftovers,
    keep_only_a_session,
    ready,
    restart,
    retained,
    start_with_messages,
)
from mqtt import login_error

from broker.host.layout import database_call, guard_call, ready_call
from broker.mosquitto.reload_or_replace import start_digest


@pytest.fixture
def running(start):
    return start_with_messages(start)


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
    assert "the new one did not start, and the former one runs again" in done.stderr
    running.await_answer()
    assert retained(running) == MESSAGES
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
        where = (
            "lib/database.sh commands/prepare_replacement.sh",
            calls,
            running.broker.host,
            shims,
        )
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


def test_sessions_are_counted(running, line):
    keep_only_a_session(running)
    assert guard(running).returncode == 0
    assert (data(running) / ".before-start" / "held").read_text() == "0 1 3\n"
    fail_to_start(running, line)

    start_well(running)
    assert ready(running).returncode == 0

    with running.client("sentient_monitor_prod", session="away") as back:
        back.got("paragon/room/events/x", "2 queued")


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


def test_unchanged_container_needs_no_preparation(running):
    running.docker("rm", "--force", running.broker.container)
    label = f"sentient-mqtt.configuration={start_digest(running.broker)}"
    running.docker(*running.container("--label", label))
    running.await_answer()

    assert guard(running).returncode == 0

    assert not (data(running) / ".before-start").exists()
    assert login_error(running.port, "admin", "wrong") == "Not authorized"
