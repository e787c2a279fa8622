"""A short soak: each disturbance once, what a kill took is explained, and nothing is left."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import eventually
from site_under_test import ROOT

from bench.soak.plan import KINDS

SOAK = (sys.executable, "-m", "bench.soak", "--clients", "20", "--minutes", "1")
PATIENCE = 1500

# It judges by how long nobody was served.
pytestmark = pytest.mark.alone


@pytest.fixture
def nothing_left(make_site, docker, tmp_path, monkeypatch):
    """Nothing of the soak's is on the machine's daemon, in its mounts or among its files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield
    assert "bench-soak" not in docker("ps", "--all", "--format", "{{.Names}}")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list(tmp_path.iterdir()) == []


def processes(folder):
    found = subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False)
    return found.stdout.split()


def test_each_disturbance_once_and_every_promise_kept(nothing_left, tmp_path_factory, tell):
    page = tmp_path_factory.mktemp("page") / "soak.md"

    done = subprocess.run(
        [*SOAK[:3], "--clients", "20", "--minutes", "0.1", "--out", page],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    text = page.read_text(encoding="utf-8")
    tell(text.partition("Lost: ")[0])
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
    by_kind = {row[1]: row for row in rows if len(row) > 1}
    assert (*by_kind,) == (*KINDS, "the end")
    # Some was in memory alone, or the judge had nothing to judge; the rest was on disk.
    killed = by_kind.pop("kill -9")
    assert "within the guarantee: in memory only" in killed[10]
    acknowledged, arrived, _, lost = (int(each) for each in killed[6:10])
    assert 0 < lost < arrived
    assert acknowledged == arrived + lost
    assert [row[9] for row in by_kind.values()] == ["0"] * len(by_kind)
    assert by_kind["rotate publishers"][5].startswith("2, ")
    assert by_kind["rotate another user"][5] == "0"


def test_who_stops_it_finds_nothing_of_it(nothing_left, tmp_path):
    with subprocess.Popen(SOAK, cwd=ROOT) as run:
        try:
            # A broker that writes its log, in a container, on the soak's own daemon.
            eventually(lambda: any(tmp_path.rglob("mosquitto.log")), 60)
            assert processes(tmp_path)
        finally:
            run.send_signal(signal.SIGTERM)
        assert run.wait(180) == 128 + signal.SIGTERM
    eventually(lambda: not processes(tmp_path), 5)
