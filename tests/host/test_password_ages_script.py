"""A generation keeps its time for as long as it is the same, and a new one gets the time of now."""

import os
import subprocess

import pytest
from declared import ROOT

from broker.credentials.password_ages import read_rotations
from broker.host.script_calls import ScriptCall, render_stdin


def said(before, **generations):
    text = "".join(f"{name} {each}\n" for name, each in generations.items())
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


def test_what_stays_keeps_its_time_and_what_changes_gets_another():
    before = "a 1 2020-01-01T00:00:00Z\nb 1 2020-01-02T00:00:00Z\nc 1 2020-01-03T00:00:00Z"

    after = [line.split() for line in said(before, a="1", b="2", d="1").splitlines()]

    assert [words[:2] for words in after] == [["a", "1"], ["b", "2"], ["d", "1"]]
    times = {words[0]: words[2] for words in after}
    assert times["a"] == "2020-01-01T00:00:00Z"
    assert times["b"] == times["d"] > "2026"


@pytest.mark.parametrize("most", [3, 10_000])
def test_however_many_they_are_the_next_run_can_be_told_in_one_variable(most):
    """Linux takes 128 KiB; what is longer, and pulumi-command can't start the script at all."""
    before = "a 1 2020-01-01T00:00:00Z\nb 1 2020-01-01T00:00:00Z"
    many = {f"controller-{number:05}": "1" for number in range(most)}

    first = said(before, a="1", b="2", **many)
    assert len(first) < 120_000
    again = read_rotations(said(first, a="1", b="3", **many))

    assert len(again) == most + 2
    assert again["a"] == "2020-01-01T00:00:00Z"
    assert again["b"] > "2026"
    told = read_rotations(first)
    assert {each: again[each] for each in many} == {each: told[each] for each in many}


def test_said_again_it_is_the_same():
    first = said("", a="1", b="7")

    assert said(first, a="1", b="7") == first
