"""The file of a state is found whatever it is compressed with."""

import gzip
import json
import os
from types import SimpleNamespace

import pytest

from cli.deployment_state import SMALLEST_BYTES, require_state, require_up, state_file
from cli.errors import NotPerformedError

EMPTY = json.dumps({"version": 3, "checkpoint": {"latest": None}}).encode()
FULL = json.dumps({"version": 3, "checkpoint": {"latest": {"resources": [1]}}}).encode()


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A backend in a folder; ``state.write(suffix, content, age)`` adds a file."""
    monkeypatch.setenv("PULUMI_BACKEND_URL", tmp_path.as_uri())
    stacks = tmp_path / ".pulumi" / "stacks" / "sentient-mqtt"
    stacks.mkdir(parents=True)

    def write(suffix, content=FULL, age=0):
        file = stacks / f"test.json{suffix}"
        file.write_bytes(content)
        os.utime(file, (1_000_000 - age,) * 2)
        return file

    return SimpleNamespace(folder=tmp_path, write=write, stack=SimpleNamespace(name="test"))


@pytest.mark.parametrize(
    ("suffix", "full", "empty"),
    [
        ("", FULL, EMPTY),
        (".gz", gzip.compress(FULL, mtime=0), gzip.compress(EMPTY, mtime=0)),
        (".zst", bytes(SMALLEST_BYTES + 1), bytes(300)),
    ],
)
def test_a_state_without_resources_is_not_up(state, suffix, full, empty):
    with pytest.raises(NotPerformedError, match="is not up yet"):
        require_state(state.stack)

    state.write(suffix, empty)
    require_state(state.stack)
    with pytest.raises(NotPerformedError, match="is not up yet"):
        require_up(state.stack)

    state.write(suffix, full)
    require_up(state.stack)


@pytest.mark.parametrize(("older", "newer"), [("", ".zst"), (".zst", ""), (".gz", ".zst")])
def test_of_two_files_the_newer_one_is_read(state, older, newer):
    """As Pulumi does, which deletes the other one at the next write."""
    state.write(older, age=1)
    expected = state.write(newer)
    assert state_file(state.folder, "test") == expected


@pytest.mark.parametrize("suffix", [".bak", ".zst.bak", ".attrs", ".zst.attrs"])
def test_a_copy_is_no_state(state, suffix):
    state.write(suffix)
    assert state_file(state.folder, "test") is None
