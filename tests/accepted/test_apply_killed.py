"""Killed with -9 before each of its steps, an apply leaves a broker that runs on whole files."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from mqtt import DENIED, Client, Refused

from broker.delivery import deliver
from broker.host import transport

ROOT = Path(__file__).resolve().parents[2]

# What changes or asks something. Before each call of one of them the whole run is killed.
STEPS = ("docker", "mv", "cp", "rm", "sync", "flock")

SHIM = """#!/bin/sh
n=$(($(cat "$COUNT") + 1))
echo "$n" >"$COUNT"
if [ "$n" -eq "$KILL_AT" ]; then kill -9 -- "-$GROUP"; fi
exec {real} "$@"
"""


@pytest.fixture
def shims(tmp_path, request):
    folder = tmp_path / "shims"
    folder.mkdir()
    for name in getattr(request, "param", STEPS):
        real = subprocess.run(["which", name], capture_output=True, text=True, check=True)
        shim = folder / name
        shim.write_text(SHIM.format(real=real.stdout.strip()))
        shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture
def running(start):
    return start()


def apply(running, shims, *, kill_at):
    """Run host/apply.sh in a process group of its own; return its exit code and its steps."""
    count = shims / "count"
    count.write_text("0")
    text = "".join((ROOT / "host" / each).read_text() for each in ("files.sh", "apply.sh"))
    way = transport(running.broker.host)
    process = subprocess.Popen(
        [*way.interpreter, f"GROUP=$$; export GROUP; {way.script('apply', become='nobody')}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={
            **os.environ,
            "PATH": f"{shims}:{os.environ['PATH']}",
            "COUNT": str(count),
            "KILL_AT": str(kill_at),
        },
    )
    said, _ = process.communicate(deliver(text, running.apply_calls()).encode(), timeout=120)
    return process.returncode, int(count.read_text()), said.decode()


def rotate(running, generation):
    running.passwords["sentient_api_prod"] = f"password-of-generation-{generation}"
    running.generations["sentient_api_prod"] = str(generation)


def logs_in(running, password):
    try:
        Client(running.port, "sentient_api_prod", password).close()
    except Refused:
        return False
    return True


def test_killed_before_any_step_it_leaves_whole_files_and_the_next_apply_completes(
    running, shims, line, capsys
):
    rotate(running, 1)
    code, steps, said = apply(running, shims, kill_at=0)
    assert code == 0, said
    folder = Path(running.broker.folders.config)
    with running.client("admin") as unaffected:
        for step in range(1, steps + 1):
            old = running.passwords["sentient_api_prod"]
            before = running.files()
            rotate(running, step + 1)
            new = running.passwords["sentient_api_prod"]

            code, _, said = apply(running, shims, kill_at=step)

            # Fewer steps than the first time, where there was less to do: then it ran to its end.
            assert code in (-signal.SIGKILL, 0), said
            assert logs_in(running, old) != logs_in(running, new), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
            assert unaffected.disconnected is None, f"step {step}"

            again, _, said = apply(running, shims, kill_at=0)
            assert again == 0, f"step {step}: {said}"
            assert logs_in(running, new), f"step {step}"
            assert not logs_in(running, old), f"step {step}"
            left = {each.name for each in folder.rglob("*")} - {Path(each).name for each in before}
            assert left <= {"health", "canary"}, f"step {step}: {left}"
            assert unaffected.disconnected is None, f"step {step}"
    with capsys.disabled():
        print(f"\nMosquitto {line}: killed before each of {steps} steps, completed {steps} times")


@pytest.mark.parametrize("line", ["2.1"], indirect=True)  # the line that refuses half a file
@pytest.mark.parametrize("shims", [("mv",)], indirect=True, ids=["renames"])
def test_a_broker_started_between_two_renames_has_whole_files(running, shims, docker):
    """The host goes down in the middle of the swap: what is on disk then must be a broker."""
    rotate(running, 1)
    _, steps, _ = apply(running, shims, kill_at=0)
    cut = 0
    for step in range(steps, 0, -1):
        old = running.passwords["sentient_api_prod"]
        before = running.files()
        rotate(running, 1000 + step)
        apply(running, shims, kill_at=step)
        in_place = {name: text for name, text in running.files().items() if name in before}
        if in_place != before:
            cut += 1
            docker("restart", "--time", "10", running.broker.container)
            running.await_answer()
            new = running.passwords["sentient_api_prod"]
            assert logs_in(running, old) != logs_in(running, new), f"step {step}"
            with running.client("paragon_devices") as device:
                assert device.publish("paragon/room/commands/x") == DENIED, f"step {step}"
        assert apply(running, shims, kill_at=0)[0] == 0
    assert cut >= 3


@pytest.mark.parametrize("line", ["2.0"], indirect=True)
def test_a_broker_that_hangs_keeps_its_files(running, docker):
    before = running.files()
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", running.broker.container))
    rotate(running, 2)
    os.kill(pid, signal.SIGSTOP)
    try:
        done = running.put_files()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert done.returncode != 0
    assert "the previous ones are in place again" in done.stderr
    assert running.files() == before


def test_two_at_once_take_turns(running):
    """One lock: the second waits for the first, and both end well."""
    rotate(running, 2)
    text = "".join((ROOT / "host" / each).read_text() for each in ("files.sh", "apply.sh"))
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
    stdin = deliver(text, running.apply_calls()).encode()
    for process in both:
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
    for process in both:
        assert process.wait(timeout=120) == 0, process.stdout and process.stdout.read().decode()
    assert logs_in(running, running.passwords["sentient_api_prod"])
