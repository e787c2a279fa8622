"""What is changed of a container by hand is named, and corrected without a restart if possible."""

import json
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from host_scripts import host_scripts

from broker.host import drift
from broker.host.facts import HostFacts
from broker.host.probe_functions import Drift
from broker.host.script_calls import Record, render_stdin
from broker.host.script_functions import MendContainer

SOCKET = "unix:///var/run/docker.sock"


class Container:
    """A container with a network of its own, recorded as Pulumi's."""

    def __init__(self, docker, image, folder):
        self.docker = docker
        self.image = image
        self.folder = folder
        self.name = f"integration-drift-{secrets.token_hex(4)}"
        folder.mkdir()
        docker("network", "create", self.name)
        docker("network", "create", self.other)
        self.run()
        self.id = self.inspect()["Id"]
        assert self.mend("1").returncode == 0

    @property
    def other(self):
        """A network that Docker sorts after the first: it does not become the default route."""
        return f"{self.name}-z"

    def run(self, *more):
        self.docker(
            *("run", "--detach", "--name", self.name, "--network", self.name, "--init"),
            *("--restart", "unless-stopped", "--memory", "64m", "--memory-swap", "64m"),
            *("--user", "1883:1883", "--cap-drop", "ALL", "--volume", f"{self.folder}:/data"),
            *("--label", "sentient-mqtt.stack=prod", *more, self.image, "sleep", "600"),
        )

    def inspect(self):
        (found,) = json.loads(self.docker("container", "inspect", self.name))
        return found

    def mend(self, revision):
        call = MendContainer.created(
            socket=SOCKET,
            name=self.name,
            identity=self.id,
            network=self.name,
            restart="unless-stopped",
            memory=64,
            processes=50,
        )
        record = Record(container=self.name, component=drift.CONTAINER, revision=revision)
        return self._run("commands/await_exporter.sh", "apply", [call], record)

    def facts(self):
        components = [drift.CONTAINER]
        calls = [
            Drift.compare(self.name, components),
            Drift.containers(socket=SOCKET, container=self.name, components=components),
        ]
        done = self._run("commands/drift.sh", "look", calls)
        assert (done.returncode, done.stderr) == (0, "")
        return HostFacts.parse(done.stdout)

    def differences(self):
        return {
            difference.text.replace(self.name, "NAME")
            for difference in drift.differences(self.facts())
        }

    def _run(self, script, action, calls, record=None):
        return subprocess.run(
            ["sh", "-s", action],
            input=render_stdin(host_scripts(script), calls, record),
            capture_output=True,
            text=True,
            check=False,
        )

    def remove(self):
        for name in (self.name, f"{self.name}-by-hand"):
            self.docker("rm", "--force", "--volumes", name, check=False)
        self.docker("network", "rm", self.name, self.other, check=False)
        shutil.rmtree(f"/etc/sentient-mqtt/{self.name}", ignore_errors=True)


@pytest.fixture(scope="module")
def container(docker, fallback_image, tmp_path_factory):
    made = Container(docker, fallback_image("trixie"), tmp_path_factory.mktemp("drift") / "data")
    yield made
    made.remove()


MENDED = {
    "stopped": ([("stop", "-t", "1", "NAME")], {"state is exited"}),
    "paused": ([("pause", "NAME")], {"state is paused"}),
    "restart": ([("update", "--restart", "no", "NAME")], {"restart is no, not unless-stopped"}),
    "memory": (
        [("update", "--memory", "32m", "--memory-swap", "48m", "NAME")],
        {"memory is 33554432, not 67108864", "swap is 50331648, not 67108864"},
    ),
    "pids": ([("update", "--pids-limit", "20", "NAME")], {"pids is 20, not 50"}),
    "renamed": ([("rename", "NAME", "NAME-by-hand")], {"name is NAME-by-hand, not NAME"}),
    "renamed and stopped": (
        [("rename", "NAME", "NAME-by-hand"), ("stop", "-t", "1", "NAME-by-hand")],
        {"name is NAME-by-hand, not NAME"},
    ),
    "disconnected": (
        [("network", "disconnect", "NAME", "NAME")],
        {"networks is none, not NAME"},
    ),
    "disconnected and stopped": (
        [("network", "disconnect", "NAME", "NAME"), ("stop", "-t", "1", "NAME")],
        {"networks is none, not NAME", "state is exited"},
    ),
    "connected": (
        [("network", "connect", "NAME-z", "NAME")],
        {"networks is NAME NAME-z, not NAME"},
    ),
}
RUNS_ON = ("restart", "memory", "pids", "renamed", "connected", "paused", "disconnected")


def do(container, *commands):
    for words in commands:
        container.docker(*(word.replace("NAME", container.name) for word in words))


@pytest.mark.parametrize("case", MENDED)
def test_a_change_is_named_and_corrected_in_place(container, case):
    commands, expected = MENDED[case]
    assert container.differences() == set()
    before = container.inspect()

    do(container, *commands)
    facts = container.facts()

    assert container.differences() == {f"container NAME: {text}" for text in expected}
    assert not drift.must_replace(drift.CONTAINER, facts)
    done = container.mend("2")
    assert (done.returncode, done.stderr) == (0, "")
    assert container.differences() == set()
    after = container.inspect()
    assert after["Id"] == before["Id"]
    if case in RUNS_ON:
        assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert after["State"]["Status"] == "running"


def recreate(container, *more):
    container.docker("rm", "--force", container.name)
    container.run(*more)


def replace_folder(container):
    container.folder.rename(container.folder.with_name("away"))
    container.folder.mkdir()


def put_folder_back(container):
    container.folder.rmdir()
    container.folder.with_name("away").rename(container.folder)


def test_a_folder_that_was_replaced_on_the_host_needs_another_container(container):
    replace_folder(container)
    try:
        (text,) = container.differences()
        assert text.startswith("container NAME: lost holds on to a folder that was replaced")
        assert text.endswith(str(container.folder))
        assert drift.must_replace(drift.CONTAINER, container.facts())
    finally:
        put_folder_back(container)
    assert container.differences() == set()


def test_a_container_recreated_by_hand_is_not_the_recorded_one(container):
    recreate(container, "--security-opt", "seccomp=unconfined", "--user", "0:0")
    try:
        named = container.differences()

        assert {
            "container NAME: id is another container than the one that was created",
            "container NAME: user is 0:0, not 1883:1883",
            "container NAME: security is seccomp=unconfined, not none",
        } <= named
        facts = container.facts()
        assert drift.must_replace(drift.CONTAINER, facts)
        assert drift.replacement_label(drift.CONTAINER, facts, container.name) == "2"
    finally:
        recreate(container)
        container.id = container.inspect()["Id"]
        assert container.mend("3").returncode == 0


def test_a_label_of_an_earlier_replacement_is_remembered_and_raised(container):
    recreate(container, "--label", "sentient-mqtt.revision=7")
    container.id = container.inspect()["Id"]
    assert container.mend("4").returncode == 0

    assert drift.replacement_label(drift.CONTAINER, container.facts(), container.name) == "7"

    container.docker("rm", "--force", container.name)
    facts = container.facts()
    assert container.differences() == {"container NAME was removed"}
    assert drift.replacement_label(drift.CONTAINER, facts, container.name) == "8"


def test_a_lost_network_is_named_even_without_the_container(container):
    container.docker("rm", "--force", container.name, check=False)
    container.docker("network", "rm", container.name)

    facts = container.facts()

    assert container.differences() == {
        "container NAME was removed",
        "container NAME: network was removed",
    }
    assert drift.network_label(facts) == "2"
    # The record belongs to the container that was created, and is not made of what is left.
    assert Path(f"/etc/sentient-mqtt/{container.name}/applied/container").exists()
