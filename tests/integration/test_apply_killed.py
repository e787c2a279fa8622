"""An apply that is killed before any of its steps leaves complete files and a running broker."""

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

# Programs that change or read something. Before every call of one of them the run is killed.
STEPS = ("docker", "mv", "cp", "rm", "sync", "flock")
# Programs called in between; tried on one release line, because the broker is not involved.
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
    """Return a broker where every user has an inbox; visitors may not use a part of theirs."""

    def change(raw):
        raw["patterns"] = {"readwrite": ["inbox/%u/#"]}
        raw["users"] |= visitor("visitor-0")

    return start(change)


def visitor(name):
    return {name: {"read": ["paragon/lobby"], "deny": [f"inbox/{name}/closed"]}}


def apply(running, shims, *, kill_at, journal=False):
    scripts, host = "lib/put_files.sh commands/apply_configuration.sh", running.broker.host
    journal_of = running.broker.folders.config if journal else ""
    calls = running.apply_calls()
    return killing.run(scripts, calls, host, shims, kill_at=kill_at, journal_of=journal_of)


def change(running, number):
    """Rotate one password, remove one visitor and add another."""
    running.passwords["sentient_api_prod"] = f"password-of-generation-{number}"
    running.generations["sentient_api_prod"] = str(number)
    raw = running.settings.model_dump(mode="json", by_alias=True)
    gone = next(user for user in raw["users"] if user.startswith("visitor-"))
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
    """Return whether a visitor is refused, or denied the closed topic."""
    try:
        with Client(running.port, visitor, "of-whoever-visits") as client:
            return client.publish(f"inbox/{visitor}/closed") == DENIED
    except Refused:
        return True


def names_in(passwd):
    return {line.partition(b":")[0] for line in passwd.splitlines()}


def is_complete(running, before, now, after):
    """Return whether every file is the one before or after, and no login is without its rules."""
    files = running.broker.files
    passwords, acl = (
        f"{running.broker.folders.config}/{name}" for name in (files.passwords, files.acl)
    )
    stay = names_in(before[passwords]) & names_in(after[passwords])
    lines = before[passwords].splitlines(keepends=True)
    narrowed = b"".join(line for line in lines if line.partition(b":")[0] in stay)
    return all(
        now[name] in (before[name], after[name], *([narrowed] if name == passwords else []))
        for name in before
    ) and all(
        b"topic deny inbox/%s/closed\n" % user in now[acl]
        for user in names_in(now[passwords])
        if user.startswith(b"visitor-")
    )


def test_next_apply_completes_a_run_killed_before_any_step(running, shims, line, tell):
    change(running, 1)
    code, steps, output = apply(running, shims, kill_at=0, journal=True)
    assert code == 0, output
    # Files beside them, which no broker reads, are only considered on one release line.
    moments = killing.moments(shims, beside=() if line == "2.1" else BESIDE)
    assert len(moments) > (50 if line == "2.1" else 8)
    folder = Path(running.broker.folders.config)
    with running.client("admin") as unaffected:
        for step in moments:
            old = running.passwords["sentient_api_prod"]
            before = running.files()
            visitors = change(running, step + 1)
            new = running.passwords["sentient_api_prod"]

            code, _, output = apply(running, shims, kill_at=step)

            now = running.files()
            # With fewer steps than in the first run it was not killed.
            assert code in (-signal.SIGKILL, 0), output
            assert logs_in(running, old) != logs_in(running, new), f"step {step}"
            assert all(is_bound(running, visitor) for visitor in visitors), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
            assert unaffected.disconnected is None, f"step {step}"

            again, _, output = apply(running, shims, kill_at=0)
            assert again == 0, f"step {step}: {output}"
            assert is_complete(running, before, now, running.files()), f"step {step}"
            assert logs_in(running, new), f"step {step}"
            assert not logs_in(running, old), f"step {step}"
            left = {path.name for path in folder.rglob("*")} - {Path(path).name for path in before}
            assert left <= {"health", "canary"}, f"step {step}: {left}"
            assert unaffected.disconnected is None, f"step {step}"
    tell(
        f"Mosquitto {line}: {steps} steps, killed before {len(moments)} of them that follow a "
        "change, and completed every time"
    )


@pytest.mark.parametrize("line", ["2.1"], indirect=True)  # the line that rejects an incomplete file
@pytest.mark.parametrize("shims", [("mv",)], indirect=True, ids=["renames"])
def test_broker_started_between_two_renames_has_complete_files(running, shims, docker):
    """The host fails between two renames: a broker must start on the files on the disk."""
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
            assert all(is_bound(running, visitor) for visitor in visitors), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
        assert apply(running, shims, kill_at=0)[0] == 0
    assert cut >= 4


INVALID_RELOAD = """#!/bin/sh
# The files on the disk differ from those of the trial: at {when} reload one line is invalid.
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
def invalid_reload(tmp_path, running, monkeypatch):
    """Return ``invalid_reload(condition)``, which corrupts the rules at a reload unless true."""
    folder = tmp_path / "invalid_reload"
    folder.mkdir()
    monkeypatch.setenv("ACL", f"{running.broker.folders.config}/{running.broker.files.acl}")

    def at(condition):
        killing.put_before(
            folder, "docker", INVALID_RELOAD.format(when="such a", condition=condition)
        )
        return folder

    return at


def test_rejected_reload_grants_nothing_and_keeps_revocations(running, invalid_reload):
    """2.0 has dropped every rule by then, and 2.1 has exited. Revoked access stays revoked."""
    old = running.passwords["sentient_api_prod"]
    gone, comes = change(running, 2)

    code, _, output = apply(running, invalid_reload('[ "$n" -gt 0 ]'), kill_at=0)

    assert code == 1
    assert "the broker did not load the new files. Access that the change revokes stays" in output
    assert "The broker enforces the files that are in place now" in output
    running.await_answer()
    assert logs_in(running, running.passwords["sentient_api_prod"])
    assert not logs_in(running, old)
    assert not logs_in(running, "of-whoever-visits", gone)
    assert not logs_in(running, "of-whoever-visits", comes)
    with running.client("paragon_devices") as device:
        assert device.publish("paragon/room/commands/x") == DENIED


@pytest.mark.parametrize("line", ["2.0"], indirect=True)  # 2.1 exits by itself
def test_broker_that_keeps_granting_full_access_is_stopped(running, invalid_reload):
    change(running, 2)

    code, _, output = apply(running, invalid_reload("false"), kill_at=0)

    assert code == 1
    assert "full access with the files in place now, too, and was stopped" in output
    assert running.state() == "exited"


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_hanging_broker_keeps_what_both_versions_allow(running, docker, monkeypatch):
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
    assert "could not be verified: the broker did not answer for 5 seconds" in done.stderr
    running.await_answer()
    assert not logs_in(running, old)
    assert not logs_in(running, "of-whoever-visits", gone)
    assert not logs_in(running, "of-whoever-visits", comes)
    assert running.put_files().returncode == 0
    assert logs_in(running, running.passwords["sentient_api_prod"])
    assert logs_in(running, "of-whoever-visits", comes)


def test_concurrent_runs_wait_for_the_lock(running):
    """The second run waits for the lock of the first, and both succeed."""
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
