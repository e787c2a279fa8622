"""`up` is killed at random moments; one `./brokerctl up` completes it each time."""

import re
import subprocess
import sys

import pytest
from declared import ROOT

KILLS = 5
pytestmark = [pytest.mark.early, pytest.mark.group("killed ups")]


def test_one_up_completes_each_killed_one(engine, record_property):
    """The bench asserts after each kill: one `up` succeeds, nothing is left, no message is lost."""
    words = ("-m", "bench.killed_ups", "--kills", str(KILLS), "--seed", "7")
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert len(re.findall("^kill ", done.stdout, re.MULTILINE)) == KILLS
    assert f"{KILLS} completed by one `up`" in done.stdout
