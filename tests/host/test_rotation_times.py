"""A generation keeps its time for as long as it is the same, and a new one gets the time of now."""

import os
import subprocess

from declared import ROOT

from broker.delivery import Call, deliver


def said(before, **generations):
    text = "".join(f"{name} {each}\n" for name, each in generations.items())
    script = (ROOT / "host" / "rotations.sh").read_text()
    done = subprocess.run(
        ["/bin/sh", "-s"],
        input=deliver(script, [Call(words=("generations",), text=text)]),
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


def test_said_again_it_is_the_same():
    first = said("", a="1", b="7")

    assert said(first, a="1", b="7") == first
