"""`up` clears what a killed run left in the state: its lock, and unfinished creations."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from patience import eventually

from bootstrap.pulumi_backend import Backend
from cli.errors import NotPerformedError
from cli.lifecycle.interrupted import forget_unfinished_creations, release_stale_lock
from cli.pulumi import Pulumi
from cli.stack import Stack

CANCEL = "cancel --yes --stack test"


@pytest.fixture
def ended():
    """The number of a process that has ended."""
    return subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, check=True, text=True).stdout  # fmt: skip


def lock(desk, pid, machine=None):
    folder = desk.folder / "state" / ".pulumi" / "locks" / "organization" / "sentient-mqtt" / "test"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": int(pid),
        "username": "root",
        "hostname": machine or socket.gethostname(),
        "timestamp": "2026-11-27T17:22:48.495356186Z",
    }
    (folder / "129ee052.json").write_text(json.dumps(content))
    (folder / "129ee052.json.attrs").write_text("{}")


def release(*, sure=False):
    stack = Stack.read("test")
    release_stale_lock(stack, Pulumi.ready(stack), sure=sure)


def test_without_a_lock_nothing_is_cancelled(desk):
    release(sure=True)

    assert desk.calls() == []


@pytest.mark.parametrize(
    ("sure", "local_passphrase"), [(True, False), (False, True)], ids=["--cancel-stale", "dev"]
)
def test_the_lock_of_a_process_that_has_ended_is_released(
    desk, ended, capsys, sure, local_passphrase
):
    desk.backend = Backend(local_passphrase=local_passphrase)
    lock(desk, ended)

    release(sure=sure)

    assert desk.calls() == [CANCEL]
    assert f"process {ended.strip()} of root on {socket.gethostname()}" in capsys.readouterr().out


def test_without_a_terminal_the_lock_stays_and_the_options_are_named(desk, ended):
    desk.backend = Backend(local_passphrase=False)
    lock(desk, ended)

    with pytest.raises(NotPerformedError, match="Add --cancel-stale") as raised:
        release()

    assert "pulumi cancel --stack test" in str(raised.value)
    assert desk.calls() == []


@pytest.mark.parametrize(("answer", "cancelled"), [("yes", [CANCEL]), ("no", [])])
def test_a_person_is_asked(desk, ended, monkeypatch, answer, cancelled):
    desk.backend = Backend(local_passphrase=False)
    lock(desk, ended)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)

    if cancelled:
        release()
    else:
        with pytest.raises(NotPerformedError):
            release()

    assert desk.calls() == cancelled


def test_the_lock_of_a_running_pulumi_stays(desk, tmp_path):
    program = tmp_path / "pulumi"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as running:
        try:
            # Linux closes the pipe that tells of the start before it changes the name.
            name = Path(f"/proc/{running.pid}/comm")
            eventually(lambda: name.read_text() == "pulumi\n", 20)
            lock(desk, running.pid)
            release(sure=True)
        finally:
            running.kill()

    assert desk.calls() == []


def test_the_number_of_a_process_may_belong_to_another_program_now(desk):
    lock(desk, os.getpid())

    release(sure=True)

    assert desk.calls() == [CANCEL]


def test_a_lock_of_another_machine_stays(desk, ended):
    lock(desk, ended, machine="another-machine")

    release(sure=True)

    assert desk.calls() == []


def test_an_unreadable_lock_stays(desk, ended):
    lock(desk, ended)
    (file,) = desk.folder.glob("state/.pulumi/locks/**/*.json")
    file.write_text("{")

    release(sure=True)

    assert desk.calls() == []


def pending(desk, *kinds):
    operations = [{"type": kind, "resource": {"urn": f"urn:{kind}"}} for kind in kinds]
    latest = {"resources": [{"urn": "urn:kept"}], "pending_operations": operations}
    desk.state_file.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    desk.pulumi(f'case "$*" in *"stack import"*) cat >"{desk.folder}/imported" ;; esac')
    (desk.folder / "state.json").write_text(json.dumps({"version": 3, "deployment": latest}))


def forget(desk):
    stack = Stack.read("test")
    forget_unfinished_creations(Pulumi.ready(stack))
    imported = desk.folder / "imported"
    return json.loads(imported.read_text())["deployment"] if imported.exists() else None


def test_unfinished_creations_are_removed_and_nothing_else(desk):
    pending(desk, "creating", "deleting", "creating")

    imported = forget(desk)

    assert imported["resources"] == [{"urn": "urn:kept"}]
    assert [operation["type"] for operation in imported["pending_operations"]] == ["deleting"]


@pytest.mark.parametrize("kinds", [(), ("deleting",)])
def test_a_state_without_unfinished_creations_is_not_written(desk, kinds):
    pending(desk, *kinds)

    assert forget(desk) is None
