"""Killed with -9 before each of its steps, an apply leaves a broker that runs on whole files."""

import os
import signal
import subprocess
from pathlib import Path

import killing
import pytest
from host_scripts import host_scripts
from mqtt import DENIED, Client, Refused

from broker.host.script_calls import render_stdin
from broker.host.transport import transport
from broker.settings.stack_settings import Settings

ROOT = Path(__file__).resolve().parents[2]

# What changes or asks something. Before each call of one of them the whole run is killed.
STEPS = ("docker", "mv", "cp", "rm", "sync", "flock")
# What comes in between, on one of the lines: the broker has no part in it.
SMALL_STEPS = ("mkdir", "chown", "chmod", "sed", "cmp", "cat", "awk")

BESIDE = (".sentient-mqtt-", ".candidate")


@pytest.fixture
def shims(tmp_path, request, line):
    names = (*STEPS, *SMALL_STEPS) if line == "2.1" else STEPS
    folder = tmp_path / "shims"
    folder.mkdir()
    for name in getattr(request, "param", names):
        killing.put_before(folder, name)
    return folder


@pytest.fixture
def running(start):
    """A broker in which everybody has an inbox, and visitors one with a place closed to them."""

    def change(raw):
        raw["patterns"] = {"readwrite": ["inbox/%u/#"]}
        raw["users"] |= visitor("visitor-0")

    return start(change)


def visitor(name):
    return {name: {"read": ["paragon/lobby"], "deny": [f"inbox/{name}/closed"]}}


def apply(running, shims, *, kill_at, journal=False):
    scripts, host = "lib/put_files.sh commands/apply_configuration.sh", running.broker.host
    of = running.broker.folders.config if journal else ""
    calls = running.apply_calls()
    return killing.run(scripts, calls, host, shims, kill_at=kill_at, journal_of=of)


def change(running, number):
    """One user gets another password, one visitor goes, and another comes."""
    running.passwords["sentient_api_prod"] = f"password-of-generation-{number}"
    running.generations["sentient_api_prod"] = str(number)
    raw = running.settings.model_dump(mode="json", by_alias=True)
    gone = next(each for each in raw["users"] if each.startswith("visitor-"))
    del raw["users"][gone]
    raw["users"] |= visitor(f"visitor-{number}")
    running.settings = Settings.parse(raw)
    del running.passwords[gone]
    running.passwords[f"visitor-{number}"] = "of-whoever-visits"
    return gone, f"visitor-{number}"


def logs_in(running, password, name="sentient_api_prod"):
    try:
        Client(running.port, name, password).close()
    except Refused:
        return False
    return True


def is_bound(running, visitor):
    """Whether a visitor is refused, or kept from what is closed to it."""
    try:
        with Client(running.port, visitor, "of-whoever-visits") as client:
            return client.publish(f"inbox/{visitor}/closed") == DENIED
    except Refused:
        return True


def names_in(passwd):
    return {each.partition(b":")[0] for each in passwd.splitlines()}


def whole(running, before, now, after):
    """Whether each file was the one before or the one after, and no login without its rules."""
    files = running.broker.files
    passwords, acl = (
        f"{running.broker.folders.config}/{each}" for each in (files.passwords, files.acl)
    )
    stay = names_in(before[passwords]) & names_in(after[passwords])
    lines = before[passwords].splitlines(keepends=True)
    narrowed = b"".join(each for each in lines if each.partition(b":")[0] in stay)
    return all(
        now[name] in (before[name], after[name], *([narrowed] if name == passwords else []))
        for name in before
    ) and all(
        b"topic deny inbox/%s/closed\n" % each in now[acl]
        for each in names_in(now[passwords])
        if each.startswith(b"visitor-")
    )


def test_killed_before_any_step_it_leaves_whole_files_and_the_next_apply_completes(
    running, shims, line, tell
):
    change(running, 1)
    code, steps, said = apply(running, shims, kill_at=0, journal=True)
    assert code == 0, said
    # What lies beside the files no broker reads: on one of the lines.
    moments = killing.moments(shims, beside=() if line == "2.1" else BESIDE)
    assert len(moments) > (50 if line == "2.1" else 8)
    folder = Path(running.broker.folders.config)
    with running.client("admin") as unaffected:
        for step in moments:
            old = running.passwords["sentient_api_prod"]
            before = running.files()
            visitors = change(running, step + 1)
            new = running.passwords["sentient_api_prod"]

            code, _, said = apply(running, shims, kill_at=step)

            now = running.files()
            # Fewer steps than the first time, where there was less to do: then it ran to its end.
            assert code in (-signal.SIGKILL, 0), said
            assert logs_in(running, old) != logs_in(running, new), f"step {step}"
            assert all(is_bound(running, each) for each in visitors), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
            assert unaffected.disconnected is None, f"step {step}"

            again, _, said = apply(running, shims, kill_at=0)
            assert again == 0, f"step {step}: {said}"
            assert whole(running, before, now, running.files()), f"step {step}"
            assert logs_in(running, new), f"step {step}"
            assert not logs_in(running, old), f"step {step}"
            left = {each.name for each in folder.rglob("*")} - {Path(each).name for each in before}
            assert left <= {"health", "canary"}, f"step {step}: {left}"
            assert unaffected.disconnected is None, f"step {step}"
    tell(
        f"Mosquitto {line}: {steps} steps, killed at each of the {len(moments)} moments between "
        "which something changes, and completed as often"
    )


@pytest.mark.parametrize("line", ["2.1"], indirect=True)  # the line that refuses half a file
@pytest.mark.parametrize("shims", [("mv",)], indirect=True, ids=["renames"])
def test_a_broker_started_between_two_renames_has_whole_files(running, shims, docker):
    """The host goes down in the middle of the swap: what is on disk then must be a broker."""
    change(running, 1)
    _, steps, _ = apply(running, shims, kill_at=0)
    cut = 0
    for step in range(steps, 0, -1):
        old = running.passwords["sentient_api_prod"]
        before = running.files()
        visitors = change(running, 1000 + step)
        apply(running, shims, kill_at=step)
        in_place = {name: text for name, text in running.files().items() if name in before}
        if in_place != before:
            cut += 1
            docker("restart", "--time", "10", running.broker.container)
            running.await_answer()
            new = running.passwords["sentient_api_prod"]
            assert logs_in(running, old) != logs_in(running, new), f"step {step}"
            assert all(is_bound(running, each) for each in visitors), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
        assert apply(running, shims, kill_at=0)[0] == 0
    assert cut >= 4


SLIPS = """#!/bin/sh
# What is on disk is not what was tried: at {when} reload one line is a slip.
case "$*" in
  *'kill -HUP 1')
    read -r n <"$COUNT"
    echo "$((n + 1))" >"$COUNT"
    {condition} || echo 'topic everything #' >>"$ACL"
    ;;
esac
exec {{real}} "$@"
"""


@pytest.fixture
def slips(tmp_path, running, monkeypatch):
    """``slips(condition)``: the broker itself reads a bad file, but where *condition* is true."""
    folder = tmp_path / "slips"
    folder.mkdir()
    monkeypatch.setenv("ACL", f"{running.broker.folders.config}/{running.broker.files.acl}")

    def at(condition):
        killing.put_before(folder, "docker", SLIPS.format(when="such a", condition=condition))
        return folder

    return at


def test_of_files_that_only_the_broker_itself_refuses_nothing_is_granted(running, slips):
    """2.0 has dropped every rule by then, and 2.1 has ended. What they take away stays away."""
    old = running.passwords["sentient_api_prod"]
    gone, comes = change(running, 2)

    code, _, said = apply(running, slips('[ "$n" -gt 0 ]'), kill_at=0)

    assert code == 1
    assert "the broker did not take the new files. What the change takes away stays" in said
    assert "The broker obeys what is in place now" in said
    running.await_answer()
    assert logs_in(running, running.passwords["sentient_api_prod"])
    assert not logs_in(running, old)
    assert not logs_in(running, "of-whoever-visits", gone)
    assert not logs_in(running, "of-whoever-visits", comes)
    with running.client("paragon_devices") as device:
        assert device.publish("paragon/room/commands/x") == DENIED


@pytest.mark.parametrize("line", ["2.0"], indirect=True)  # 2.1 ends by itself
def test_a_broker_that_stays_open_to_everybody_is_stopped(running, slips):
    change(running, 2)

    code, _, said = apply(running, slips("false"), kill_at=0)

    assert code == 1
    assert "do everything with what is in place now too, and was stopped" in said
    assert running.state() == "exited"


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_a_broker_that_hangs_is_left_what_both_versions_allow(running, docker, monkeypatch):
    monkeypatch.setattr("broker.host.layout.RELOAD_SECONDS", 5)
    old = running.passwords["sentient_api_prod"]
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", running.broker.container))
    gone, comes = change(running, 2)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = running.put_files()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert done.returncode != 0
    assert "could not be verified: the broker could not be asked for 5 seconds" in done.stderr
    running.await_answer()
    assert not logs_in(running, old)
    assert not logs_in(running, "of-whoever-visits", gone)
    assert not logs_in(running, "of-whoever-visits", comes)
    assert running.put_files().returncode == 0
    assert logs_in(running, running.passwords["sentient_api_prod"])
    assert logs_in(running, "of-whoever-visits", comes)


def test_two_at_once_take_turns(running):
    """One lock: the second waits for the first, and both end well."""
    change(running, 2)
    text = host_scripts("lib/put_files.sh", "commands/apply_configuration.sh")
    way = transport(running.broker.host)
    both = [
        subprocess.Popen(
            [*way.interpreter, way.script("apply", become="nobody")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    stdin = render_stdin(text, running.apply_calls()).encode()
    for process in both:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
    for process in both:
        assert process.wait(timeout=600) == 0, process.stdout and process.stdout.read().decode()
    assert logs_in(running, running.passwords["sentient_api_prod"])
