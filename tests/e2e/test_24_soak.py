"""A short soak test: every disturbance once, losses are explained, and nothing remains."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import eventually
from site_under_test import ROOT

from bench.soak.plan import KINDS

SOAK = (sys.executable, "-m", "bench.soak", "--clients", "20", "--minutes", "0.1")
PATIENCE = 1500

# It is one of the longest, and nothing else uses its daemon and network.
pytestmark = [pytest.mark.early, pytest.mark.group("soak")]


@pytest.fixture
def leaves_nothing(make_site, docker, tmp_path, monkeypatch):
    """Fail if the soak test leaves a container, a mount or a file."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield
    assert "bench-soak" not in docker("ps", "--all", "--format", "{{.Names}}")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    assert list(tmp_path.iterdir()) == []


def processes(folder):
    """Return the ids of processes with *folder* in their command lines."""
    done = subprocess.run(["pgrep", "-f", folder], capture_output=True, check=False)
    return done.stdout.split()


def test_every_disturbance_once_without_an_unexplained_loss(leaves_nothing, tmp_path_factory, tell):
    page = tmp_path_factory.mktemp("page") / "soak.md"

    done = subprocess.run(
        [*SOAK, "--out", page],
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
    # The kill must have lost some messages, or nothing was tested.
    killed = by_kind.pop("kill -9")
    assert "within the guarantee: in memory only" in killed[10]
    acknowledged, arrived, _, lost = map(int, killed[6:10])
    assert 0 < lost < arrived
    assert acknowledged == arrived + lost
    assert [row[9] for row in by_kind.values()] == ["0"] * len(by_kind)
    assert by_kind["rotate publishers"][5].startswith("2, ")
    assert by_kind["rotate another user"][5] == "0"


def test_stopped_run_leaves_nothing(leaves_nothing, tmp_path):
    with subprocess.Popen(SOAK, cwd=ROOT) as run:
        try:
            # The broker is running, in a container of the soak test's own daemon.
            eventually(lambda: any(tmp_path.rglob("mosquitto.log")), 60)
            assert processes(tmp_path)
        finally:
            run.send_signal(signal.SIGTERM)
        assert run.wait(180) == 128 + signal.SIGTERM
    eventually(lambda: not processes(tmp_path), 5)
