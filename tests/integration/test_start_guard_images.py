"""An image that would lose data of the database is refused before the container is replaced."""

import secrets

import pytest
from conftest import SUITES
from guard_scripts import (
    MESSAGES,
    guard,
    has_no_leftovers,
    keep_only_a_session,
    retained,
    start_with_messages,
)


@pytest.fixture
def running(start):
    return start_with_messages(start)


def test_other_release_line_reads_the_database_and_can_be_reverted(running, line, fallback_image):
    (other,) = (fallback_image(suite) for release, suite in SUITES.items() if release != line)

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


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_image_that_would_lose_a_session_is_refused(running, line, image_that):
    keep_only_a_session(running)

    done = guard(running, image=image_that(FORGETS))

    assert done.returncode == 1
    assert "finds 0 0 0 in a copy of the database, where there are 0 1 3" in done.stderr


def test_one_way_setting_permits_an_image_that_can_t_be_reverted(running, image_that):
    assert guard(running, image=image_that(NOT_REVERTIBLE), one_way=True).returncode == 0
