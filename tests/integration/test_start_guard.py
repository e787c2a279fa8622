"""A start or another image never costs the database: it is aside before, and counted after."""

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
    """A broker with messages that it has not written to disk yet."""
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
        return sum(each.topic.startswith("paragon/room/status/") for each in admin.received)


def leaves_nothing_of_its_own(running, *names):
    return {each.name for each in data(running).iterdir()} <= {"mosquitto.db", *names}


def test_what_was_just_published_comes_back_with_the_next_container(running):
    assert not (data(running) / "mosquitto.db").exists()

    done = guard(running)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (data(running) / ".before-start" / "held").read_text() == f"{MESSAGES} 0 0\n"
    assert retained(running) == MESSAGES
    running.replace()
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


def fail_to_start(running, line):
    """Put a container in the place of this one whose start fails, and empties the database."""
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
        # As 2.1 does of itself.
        (data(running) / "mosquitto.db").unlink()


def start_well(running):
    running.docker("rm", "--force", running.broker.container)
    running.docker(*running.container())


def test_a_start_that_failed_and_emptied_the_database_is_made_good(running, line):
    assert guard(running).returncode == 0
    fail_to_start(running, line)

    start_well(running)
    assert ready(running).returncode == 0

    assert retained(running) == MESSAGES, line
    assert leaves_nothing_of_its_own(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
@pytest.mark.parametrize("gone", [True, False], ids=["container gone", "container ended"])
def test_what_mends_a_failed_start_finds_the_only_copy_in_place(running, line, gone):
    """`up` was killed before it saw how the start ended, and the next has another digest."""
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    if gone:
        running.docker("rm", running.broker.container)
        # Nor need it be readable at all.
        (data(running) / "mosquitto.db").write_bytes(bytes(100))

    done = guard(running, digest="another")

    assert (done.returncode, done.stderr) == (0, "")
    start_well(running)
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_a_restart_by_hand_finds_the_only_copy_in_place(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    conf = Path(running.broker.folders.config)
    shutil.copy(conf / running.broker.files.conf, conf / "broken.conf")
    shutil.chown(conf / "broken.conf", 1883, 1883)

    done = restart(running)

    assert (done.returncode, done.stderr) == (0, "")
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_an_emptied_broker_that_serves_is_replaced_and_then_has_it_back(running, line):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    start_well(running)
    running.await_answer()

    assert guard(running, digest="another").returncode == 0

    running.replace()
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_where_nobody_can_say_which_of_two_is_right_neither_is_lost(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)
    start_well(running)
    running.await_answer()
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "since then", retain=True)
    docker("stop", running.broker.container)

    done = guard(running, digest="another")

    assert done.returncode == 1
    assert "holds 1 0 0 (retained messages, sessions, messages that wait), and" in done.stderr
    assert f"holds {MESSAGES} 0 0. Say which of the two: mv " in done.stderr
    assert running.state() == "exited"
    shutil.rmtree(data(running) / ".before-start")
    assert restart(running).returncode == 0
    assert retained(running) == 1


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_a_copy_that_no_start_followed_is_only_older(running, line):
    assert guard(running).returncode == 0
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "", retain=True)

    assert guard(running, digest="another").returncode == 0

    assert (data(running) / ".before-start" / "held").read_text() == f"{MESSAGES - 1} 0 0\n"


def test_one_that_never_answers_leaves_the_earlier_database_behind(running, line, docker):
    assert guard(running).returncode == 0
    fail_to_start(running, line)

    done = ready(running, seconds="1")

    assert done.returncode == 1
    assert "could not log in for 1 seconds" in done.stderr
    start_well(running)
    running.await_answer()
    assert retained(running) == MESSAGES


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_one_that_is_only_busy_keeps_what_it_was_told_since(running, docker):
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
    # And the next `up`, which asks again, finds that all is well.
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES + 1
    assert leaves_nothing_of_its_own(running)


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_killed_before_any_step_it_keeps_the_only_copy(running, line, tmp_path, tell):
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
        code, _, said = killing.run(*where, kill_at=step)

        assert code in (-signal.SIGKILL, 0), said
        kept = [each.read_bytes() for each in place.rglob("mosquitto.db")]
        assert copy in kept, f"step {step}"
        if not (place / "mosquitto.db").exists():
            assert killing.run(*where, kill_at=0)[0] == 0, f"step {step}"
            assert (place / "mosquitto.db").read_bytes() == copy, f"step {step}"
    assert step > 5
    tell(f"the guard: killed before each of {step - 1} steps, the only copy is there")


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_killed_as_it_brings_a_database_back_it_does_the_next_time(running, line, tmp_path):
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


def only_a_session(running):
    """Leave nothing retained, but somebody who is away and for whom messages wait."""
    with running.client("sentient_monitor_prod", session="away") as away:
        away.subscribe("paragon/+/events/#")
    with running.client("admin") as admin:
        for number in range(MESSAGES):
            admin.publish(f"paragon/room/status/{number}", "", retain=True)
        for number in range(3):
            admin.publish("paragon/room/events/x", f"{number} waits")


def test_sessions_are_counted_too(running, line):
    only_a_session(running)
    assert guard(running).returncode == 0
    assert (data(running) / ".before-start" / "held").read_text() == "0 1 3\n"
    fail_to_start(running, line)

    start_well(running)
    assert ready(running).returncode == 0

    with running.client("sentient_monitor_prod", session="away") as back:
        back.got("paragon/room/events/x", "2 waits")


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_an_image_that_would_cost_a_session_is_refused(running, line, image_that):
    only_a_session(running)

    done = guard(running, image=image_that(FORGETS))

    assert done.returncode == 1
    assert "finds 0 0 0 in a copy of the database, where there are 0 1 3" in done.stderr


@pytest.mark.parametrize("line", ["2.1"], indirect=True)
def test_a_database_without_a_container_is_put_aside_too(running, line):
    """That of a broker which was adopted, or removed by hand."""
    running.docker("stop", running.broker.container)
    running.docker("rm", running.broker.container)

    assert guard(running).returncode == 0

    running.docker(*running.container())
    fail_to_start(running, line)
    start_well(running)
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES


def test_what_clients_cleared_in_between_stays_cleared(running):
    assert guard(running).returncode == 0
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/0", "", retain=True)

    running.replace()
    assert ready(running).returncode == 0

    assert retained(running) == MESSAGES - 1


def test_the_other_release_line_reads_it_and_there_is_a_way_back(running, line, stand_in):
    (other,) = (stand_in(suite) for each, suite in SUITES.items() if each != line)

    done = guard(running, image=other)

    assert (done.returncode, done.stderr) == (0, "")
    assert retained(running) == MESSAGES


FORGETS = 'rm -f /mosquitto/data/.rehearsal/mosquitto.db\nexec /usr/sbin/mosquitto.real "$@"\n'
NO_WAY_BACK = (
    "trap 'kill -TERM $broker' TERM\n/usr/sbin/mosquitto.real \"$@\" &\nbroker=$!\n"
    "wait $broker || :\nwait $broker || :\nrm -f /mosquitto/data/.rehearsal/mosquitto.db\n"
)
ENDS = "echo 'Error: no such thing'\nexit 3\n"


@pytest.fixture
def image_that(running, docker, tmp_path):
    """Return the name of an image whose broker begins with other words."""
    made: list[str] = []

    def make(words):
        name = f"localhost/guard-test:{secrets.token_hex(4)}"
        (tmp_path / "mosquitto").write_text(f"#!/bin/sh\n{words}")
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
    for each in made:
        docker("rmi", "--force", each)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (FORGETS, f"finds 0 0 0 in a copy of the database, where there are {MESSAGES} 0 0"),
        (ENDS, "can't start on a copy of the database. It said: Error: no such thing"),
        (NO_WAY_BACK, "so there is no way back. Set broker.persistence.oneWay to true"),
    ],
    ids=["forgets", "ends", "no way back"],
)
def test_an_image_that_would_cost_something_is_refused_before_anything_changes(
    running, image_that, words, said
):
    before = running.docker("inspect", "--format", "{{.Id}}", running.broker.container)
    with running.client("sentient_monitor_prod") as unaffected:
        done = guard(running, image=image_that(words))
        assert unaffected.disconnected is None

    assert done.returncode == 1
    assert said in done.stderr
    assert "was not replaced: it runs on, with the new users and rules" in done.stderr
    assert running.docker("inspect", "--format", "{{.Id}}", running.broker.container) == before
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


def test_the_way_of_no_return_is_taken_when_it_is_said(running, image_that):
    assert guard(running, image=image_that(NO_WAY_BACK), one_way=True).returncode == 0


def test_where_nothing_is_to_be_replaced_nothing_is_done(running):
    running.docker("rm", "--force", running.broker.container)
    label = f"sentient-mqtt.configuration={start_digest(running.broker)}"
    running.docker(*running.container("--label", label))
    running.await_answer()

    assert guard(running).returncode == 0

    assert not (data(running) / ".before-start").exists()
    assert refusal(running.port, "admin", "wrong") == "Not authorized"


@pytest.fixture
def small_disk(running):
    """The data folder on a disk of 512 KiB, with what the broker wrote at its end."""
    place = data(running)
    running.docker("stop", running.broker.container)
    stopped = (place / "mosquitto.db").read_bytes()
    assert stopped
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=True)
    try:
        (place / "mosquitto.db").write_bytes(stopped)
        for each in (place, place / "mosquitto.db"):
            os.chown(each, 1883, 1883)
        running.docker("rm", running.broker.container)
        running.docker(*running.container())
        running.await_answer()
        yield place
    finally:
        running.docker("rm", "--force", "--volumes", running.broker.container)
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_costs_neither_the_database_on_it_nor_a_connection(running, small_disk):
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
    assert leaves_nothing_of_its_own(running, "filler")
    (small_disk / "filler").unlink()
    assert guard(running, one_way=True).returncode == 0
    assert retained(running) == MESSAGES


def test_a_write_that_the_disk_has_no_room_for_costs_nothing_that_was_on_disk(running, small_disk):
    """
    The room that is looked for first is that of the database before.

    Mosquitto 2.0 puts a small database in place empty where it can't write it, and goes on. 2.1
    ends, and Docker starts it again with what is on disk.
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
