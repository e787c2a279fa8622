"""
Distribute tests to the processes of `pytest -n` by group: tests that share expensive fixtures.

With pytest 9, xdist 3.8 does not find the name of a group in a test's id. Therefore the processes
write the groups of the tests, which are the same in all of them, to a file.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# A shared fixture whose brokers are not shared: it starts a broker per test.
NOT_SHARED = {"start"}


def group(item: pytest.Item) -> str:
    """Return the group of *item*, whose tests run in order in one process; by default its id."""
    if named := item.get_closest_marker("group"):
        return str(named.args[0])
    if not isinstance(item, pytest.Function) or not any(
        definitions[-1].scope in ("module", "class")
        for name, definitions in item._fixtureinfo.name2fixturedefs.items()
        if name not in NOT_SHARED
    ):
        return item.nodeid
    line = item.callspec.params.get("line", "") if hasattr(item, "callspec") else ""
    return f"{item.path.stem} {line}".strip()


def early_first(items: list[pytest.Item]) -> None:
    """Move groups with a test marked `early` to the front."""
    early = {group(item) for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: group(item) not in early)


def write_groups(file: Path, items: list[pytest.Item]) -> None:
    """Write the group of each test, for the process that distributes them."""
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps({item.nodeid: group(item) for item in items}))
    unfinished.rename(file)


class ByGroup(LoadScopeScheduling):
    """Distributes one group after the other, in the order of their collection."""

    def __init__(self, config: pytest.Config, log: Any, file: Path) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self.file = file

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {str(key): str(name) for key, name in json.loads(self.file.read_text()).items()}

    def _split_scope(self, nodeid: str) -> str:
        return self._groups[nodeid]
