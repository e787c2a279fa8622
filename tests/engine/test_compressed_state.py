"""The state that `./brokerctl up` creates is compressed, and an older one is converted."""

import json
from pathlib import Path

import pytest

from bootstrap.pulumi_backend import ensure_backend
from cli.deployment_state import SMALLEST_BYTES, require_up, state_file
from cli.errors import NotPerformedError
from cli.stack import Stack

RECORDED = Path(__file__).parent.parent / "recorded" / "state-0.1" / "dev.json"


@pytest.fixture
def compressed(tmp_path):
    """The variables of the backend that is created for dev, without its folder."""
    created = ensure_backend("dev", {"HOME": str(tmp_path)}).environment
    return {name: value for name, value in created.items() if name.startswith("PULUMI_DIY_")}


@pytest.fixture
def stack(project, monkeypatch):
    """The stack of *project*, as the commands read it."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", (project.folder / "state").as_uri())
    monkeypatch.setattr("cli.deployment_state.PROJECT", "trial")
    return Stack.parse("trial", RECORDED, (RECORDED.parent / "Pulumi.dev.yaml").read_text())


def files(project):
    """Return the names of the files that Pulumi takes for a state."""
    found = (project.folder / "state").rglob("stacks/trial/*")
    return sorted(file.name for file in found if file.suffix not in (".bak", ".attrs"))


def compress(monkeypatch, variables):
    assert variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_state_is_converted_by_the_next_write_and_only_one_is_left(
    project, compressed, monkeypatch
):
    project.up("RandomPassword('one', length=8)")
    before = project.state()
    assert files(project) == ["trial.json"]

    compress(monkeypatch, compressed)
    assert project.state() == before, "Pulumi does not read the old state"
    project.up("RandomPassword('one', length=8)\nRandomPassword('two', length=8)")

    assert files(project) == ["trial.json.zst"]
    assert state_file(project.folder / "state", "trial") is None, "of another project"
    after = project.state()
    assert after["one"]["created"] == before["one"]["created"], "a password was drawn again"
    assert "two" in after


def test_the_size_of_a_state_tells_whether_it_has_resources(
    project, stack, compressed, monkeypatch
):
    compress(monkeypatch, compressed)
    project.pulumi("stack", "rm", "--yes", "trial")
    assert project.pulumi("stack", "init", "trial").code == 0
    state = project.folder / "state"
    empty = state_file(state, "trial")
    assert empty.suffix == ".zst"
    with pytest.raises(NotPerformedError, match="is not up yet"):
        require_up(stack)

    plain = len(json.dumps(json.loads(RECORDED.read_text())))
    empty_bytes = empty.stat().st_size
    assert project.pulumi("stack", "import", "--force", "--file", str(RECORDED)).code == 0

    require_up(stack)
    bytes_ = state_file(state, "trial").stat().st_size
    print(f"\nempty: {empty_bytes} bytes; dev: {bytes_:,} bytes, {plain:,} if not compressed")
    assert empty_bytes < SMALLEST_BYTES / 2
    assert 10 * SMALLEST_BYTES < bytes_ < plain
