"""A container is replaced only if Docker can start the new one; otherwise the former one runs."""

import json
from pathlib import Path

import pytest
from guard_scripts import (
    MESSAGES,
    SOCKET,
    data,
    guard,
    has_no_leftovers,
    ready,
    retained,
    start_with_messages,
)

from broker.host.layout import bring_back_calls, database_call, guard_calls, ready_call
from broker.host.script_calls import ScriptCall

pytestmark = pytest.mark.parametrize("line", ["2.0"], indirect=True)
COMPARED = ("User", "Env", "Cmd", "Labels", "StopSignal", "StopTimeout")
COMPARED_OF_HOST = (
    *("PortBindings", "ReadonlyRootfs", "CapDrop", "SecurityOpt", "Ulimits", "Init"),
    *("Memory", "PidsLimit", "LogConfig"),
)


@pytest.fixture
def running(start):
    return start_with_messages(start)


def inspect(running, name):
    (found,) = json.loads(running.docker("container", "inspect", name))
    config, host = found["Config"], found["HostConfig"]
    return {
        **{key: config.get(key) for key in COMPARED},
        **{key: sorted(host[key]) if key == "Binds" else host.get(key) for key in COMPARED_OF_HOST},
    }


def former(running):
    return f"{running.broker.container}-former"


def containers(running):
    listed = running.docker("ps", "--all", "--format", "{{.Names}} {{.State}}").splitlines()
    return sorted(line for line in listed if line.startswith(running.broker.container))


def prepare(running, **limits):
    """Run the whole guard, for a next container with other *limits*."""
    changed = running.broker.limits.model_copy(update=limits)
    broker = running.broker.model_copy(update={"limits": changed})
    calls = guard_calls(broker, SOCKET, running.image, "another")
    return running.script("commands/prepare_replacement.sh", "apply", calls)


def test_a_container_that_docker_cannot_start_replaces_nothing(running):
    """No process may have more open files than fs.nr_open, 1,048,576 by default."""
    done = prepare(running, open_files=1 << 30)

    assert done.returncode == 1
    assert done.stderr.startswith(
        f"container {running.broker.container}: Docker can't start the new one: "
    )
    # Docker's own words.
    assert "rlimit" in done.stderr
    assert "it runs on, with the new users and rules" in done.stderr
    assert containers(running) == [f"{running.broker.container} running"]
    assert retained(running) == MESSAGES
    assert not (data(running) / ".before-start").exists()


def test_a_rehearsal_leaves_one_stopped_copy_of_the_container(running):
    done = prepare(running)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    name = running.broker.container
    assert containers(running) == [f"{name} running", f"{name}-former created"]
    assert inspect(running, former(running)) == inspect(running, name)
    # Docker starts a container that was never started at its own start, unless it may not.
    policy = running.docker(
        "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", former(running)
    )
    assert policy.strip() == "no"
    assert retained(running) == MESSAGES

    running.replace()
    assert ready(running).returncode == 0
    assert containers(running) == [f"{name} running"]


def bring_back(running):
    calls = bring_back_calls(running.broker, SOCKET, running.image)
    return running.script("commands/bring_back.sh", "apply", calls)


@pytest.mark.parametrize("left", [True, False], ids=["created", "not created"])
def test_the_former_container_replaces_one_that_was_not_started(running, left):
    assert prepare(running).returncode == 0
    name = running.broker.container
    before = inspect(running, name)
    running.docker("stop", "--time", "30", name)
    running.docker("rm", name)
    if left:
        _, _, *words = running.container()
        running.docker("create", *words)

    done = bring_back(running)

    assert (done.returncode, done.stderr) == (0, "")
    assert containers(running) == [f"{name} running"]
    assert inspect(running, name) == before
    policy = running.docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name)
    assert policy.strip() == "unless-stopped"
    running.await_answer()
    assert retained(running) == MESSAGES


def test_without_a_former_container_the_new_one_stays(running):
    assert bring_back(running).returncode == 3
    assert containers(running) == [f"{running.broker.container} running"]


def test_the_former_container_replaces_a_broker_that_ends_at_its_start(running):
    assert prepare(running).returncode == 0
    folder = Path(running.broker.folders.config)
    broken = folder / "broken.conf"
    broken.write_text((folder / running.broker.files.conf).read_text() + "nonsense true\n")
    broken.chmod(0o644)
    running.docker("stop", "--time", "30", running.broker.container)
    running.docker("rm", running.broker.container)
    running.docker(*running.container(conf=broken.name))

    done = ready(running, seconds="2")

    assert done.returncode == 1
    assert "the new one did not start, and the former one runs again" in done.stderr
    assert "nonsense" in done.stderr
    assert containers(running) == [f"{running.broker.container} running"]
    running.await_answer()
    assert retained(running) == MESSAGES


def test_a_broker_that_runs_and_does_not_answer_stays(running):
    assert prepare(running).returncode == 0
    running.replace()
    new = running.docker("inspect", "--format", "{{.Id}}", running.broker.container)
    _, *words = ready_call(running.broker).words
    call = ScriptCall.of("broker", words[0], "1", "1", *words[3:])

    done = running.script(
        "commands/await_ready.sh",
        "apply",
        [database_call(running.broker, SOCKET, running.image), call],
    )

    assert done.returncode == 1
    assert "could not log in for 1 seconds" in done.stderr
    assert running.docker("inspect", "--format", "{{.Id}}", running.broker.container) == new


def test_a_stopped_container_keeps_its_earlier_copy(running):
    """After a failed start the copy is of a container that ran, and the stopped one did not."""
    assert guard(running, digest="another").returncode == 0
    copy = running.docker("inspect", "--format", "{{.Id}}", former(running))
    running.docker("stop", "--time", "30", running.broker.container)

    assert guard(running, digest="a third").returncode == 0

    assert running.docker("inspect", "--format", "{{.Id}}", former(running)) == copy
    assert has_no_leftovers(running, ".before-start")
