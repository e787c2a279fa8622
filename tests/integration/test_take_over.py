"""A container that the state does not know is taken over, and its messages are kept."""

import pytest
from guard_scripts import (
    MESSAGES,
    data,
    has_no_leftovers,
    ready,
    retained,
    start_with_messages,
    take_over,
)

pytestmark = pytest.mark.parametrize("line", ["2.0"], indirect=True)
OURS = ("--label", "sentient-mqtt.stack=prod")


@pytest.fixture
def running(start):
    return start_with_messages(start)


def start_again(running, *labels):
    """Create the container with *labels*; its database is written when the first one stops."""
    running.docker("stop", "--time", "30", running.broker.container)
    running.docker("rm", running.broker.container)
    running.docker(*running.container(*labels))
    running.await_answer()


def exists(running):
    listed = running.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    return {name for name in listed if name.startswith(running.broker.container)}


@pytest.mark.parametrize(
    ("labels", "state"),
    [(OURS, "running"), (OURS, "paused"), (OURS, "exited"), ((), "running")],
    ids=["running", "paused", "exited", "without a label"],
)
def test_a_container_of_the_stack_is_ended_and_its_messages_are_kept(running, labels, state):
    start_again(running, *labels)
    with running.client("admin") as admin:
        admin.publish("paragon/room/status/unsaved", "in memory only", retain=True)
    if state == "paused":
        running.docker("pause", running.broker.container)
    elif state == "exited":
        running.docker("stop", "--time", "30", running.broker.container)

    done = take_over(running)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # A stopped copy comes back if Pulumi's container does not start.
    assert exists(running) <= {f"{running.broker.container}-former"}
    running.docker(*running.container())
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES + 1
    assert has_no_leftovers(running)


def test_a_container_that_was_created_and_never_started_is_removed(running):
    running.docker("stop", "--time", "30", running.broker.container)
    running.docker("rm", running.broker.container)
    _, _, *words = running.container(*OURS)
    running.docker("create", *words)

    done = take_over(running)

    assert (done.returncode, done.stderr) == (0, "")
    assert exists(running) == set()
    running.docker(*running.container())
    assert ready(running).returncode == 0
    assert retained(running) == MESSAGES


def test_a_container_of_another_program_runs_on(running):
    """host/commands/claim_host.sh decides about a container with a label of this program."""
    start_again(running)

    done = take_over(running, config_folder="/another/folder")

    assert done.returncode == 1
    assert "this stack did not create it" in done.stderr
    assert exists(running) == {running.broker.container}
    assert retained(running) == MESSAGES
    assert not (data(running) / ".before-start").exists()


def test_without_a_container_nothing_is_done(running):
    running.docker("rm", "--force", running.broker.container)
    before = {path.name for path in data(running).iterdir()}

    done = take_over(running)

    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in data(running).iterdir()} == before
