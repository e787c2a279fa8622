"""A generation keeps its time while it is the same; a new one gets the present time."""

import os
import subprocess

import pytest
from declared import ROOT

from broker.credentials.password_ages import read_rotations
from broker.host.script_calls import ScriptCall, render_stdin


def run_script(before, **generations):
    text = "".join(f"{name} {generation}\n" for name, generation in generations.items())
    script = (ROOT / "host" / "commands/password_ages.sh").read_text()
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=render_stdin(script, [ScriptCall(words=("generations",), text=text)]),
        env={**os.environ, "PULUMI_COMMAND_STDOUT": before},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_same_generation_keeps_its_time_and_a_new_one_gets_another():
    before = "a 1 2020-01-01T00:00:00Z\nb 1 2020-01-02T00:00:00Z\nc 1 2020-01-03T00:00:00Z"

    after = [line.split() for line in run_script(before, a="1", b="2", d="1").splitlines()]

    assert [words[:2] for words in after] == [["a", "1"], ["b", "2"], ["d", "1"]]
    times = {words[0]: words[2] for words in after}
    assert times["a"] == "2020-01-01T00:00:00Z"
    assert times["b"] == times["d"] > "2026"


@pytest.mark.parametrize("most", [3, 10_000])
def test_output_fits_into_one_variable_of_the_next_run(most):
    """The limit of Linux is 128 KiB; pulumi-command can't start a script with a longer variable."""
    before = "a 1 2020-01-01T00:00:00Z\nb 1 2020-01-01T00:00:00Z"
    many = {f"controller-{number:05}": "1" for number in range(most)}

    first = run_script(before, a="1", b="2", **many)
    assert len(first) < 120_000
    again = read_rotations(run_script(first, a="1", b="3", **many))

    assert len(again) == most + 2
    assert again["a"] == "2020-01-01T00:00:00Z"
    assert again["b"] > "2026"
    earlier = read_rotations(first)
    assert {name: again[name] for name in many} == {name: earlier[name] for name in many}


def test_second_run_prints_the_same():
    first = run_script("", a="1", b="7")

    assert run_script(first, a="1", b="7") == first
