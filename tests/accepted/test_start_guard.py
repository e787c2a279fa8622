"""A start or another image never costs the database: it is aside before, and counted after."""

import contextlib
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SUITES
from mqtt import refusal

from broker.layout import database_call, guard_call, ready_call
from broker.needs import start_digest

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


def guard(running, *, image=None, one_way=False):
    broker = running.broker
    if one_way:
        persistence = broker.persistence.model_copy(update={"one_way": True})
        broker = broker.model_copy(update={"persistence": persistence})
    return running.script(
        "database.sh guard.sh",
        "apply",
        [
            database_call(broker, SOCKET, image or running.image),
            guard_call(broker, start_digest(broker)),
        ],
    )


def ready(running):
    return running.script(
        "database.sh ready.sh",
        "apply",
        [database_call(running.broker, SOCKET, running.image), ready_call(running.broker)],
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


def leaves_nothing_of_its_own(running):
    return {each.name for each in data(running).iterdir()} <= {"mosquitto.db"}


def test_what_was_just_published_comes_back_with_the_next_container(running):
    assert not (data(running) / "mosquitto.db").exists()

    done = guard(running)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (data(running) / ".before-start" / "retained").read_text() == f"{MESSAGES}\n"
    assert retained(running) == MESSAGES
    running.replace()
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES
    assert leaves_nothing_of_its_own(running)


def test_a_start_that_failed_and_emptied_the_database_is_made_good(running, line):
    assert guard(running).returncode == 0
    broken = Path(running.broker.folders.config) / "broken.conf"
    conf = Path(running.broker.folders.config) / running.broker.files.conf
    broken.write_text(conf.read_text() + "pid_file /nowhere/mosquitto.pid\n")
    shutil.chown(broken, 1883, 1883)
    running.docker("rm", "--force", running.broker.container)
    running.docker(*running.container("--restart", "no", conf=broken.name))
    assert running.docker("wait", running.broker.container).strip() != "0"
    if line == "2.1":
        aside = data(running) / ".before-start" / "mosquitto.db"
        assert (data(running) / "mosquitto.db").stat().st_size < aside.stat().st_size / 2

    running.docker("rm", running.broker.container)
    running.docker(*running.container())
    assert ready(running).returncode == 0

    assert retained(running) == MESSAGES, line
    assert leaves_nothing_of_its_own(running)


def test_one_that_never_answers_leaves_the_earlier_database_behind(running):
    assert guard(running).returncode == 0
    running.docker("rm", "--force", running.broker.container)
    (data(running) / "mosquitto.db").unlink()
    login = Path(running.broker.folders.config) / "health" / "mosquitto_sub"
    login.write_text("-u nobody\n-P wrong\n")
    running.docker(*running.container())

    broker = running.broker
    call = ready_call(broker)
    done = running.script(
        "database.sh ready.sh",
        "apply",
        [
            database_call(broker, SOCKET, running.image),
            type(call)(words=(*call.words[:3], "1", *call.words[4:])),
        ],
    )

    assert done.returncode == 1
    assert "could not log in for 1 seconds" in done.stderr
    assert running.state() == "exited"
    running.docker("start", broker.container)
    running.await_answer()
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


FORGETS = 'rm -f /mosquitto/data/mosquitto.db\nexec /usr/sbin/mosquitto.real "$@"\n'
NO_WAY_BACK = (
    "trap 'kill -TERM $broker' TERM\n/usr/sbin/mosquitto.real \"$@\" &\nbroker=$!\n"
    "wait $broker || :\nwait $broker || :\nrm -f /mosquitto/data/mosquitto.db\n"
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
        (FORGETS, f"finds 0 of {MESSAGES} retained messages in a copy of the database"),
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
    assert "Nothing was changed: the broker runs on as it was" in done.stderr
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


def test_a_full_disk_does_not_cost_the_database_on_it(running, tmp_path):
    """Mosquitto 2.0 puts a small database in place empty where it can't write it."""
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
        with (place / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))

        done = guard(running, one_way=True)

        assert done.returncode == 1
        assert "is the disk full?" in done.stderr
        assert "Nothing was changed" in done.stderr
        assert (place / "mosquitto.db").read_bytes() == stopped
        (place / "filler").unlink()
        assert guard(running, one_way=True).returncode == 0
        assert retained(running) == MESSAGES
    finally:
        running.docker("rm", "--force", "--volumes", running.broker.container)
        subprocess.run(["umount", place], check=True)
