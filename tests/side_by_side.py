"""
Which tests one process of `pytest -n` runs: those that share what it costs much to make.

With pytest 9, xdist 3.8 finds no group's name in a test's id. So each process says which groups it
has collected; they are the same in all of them.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# One of these makes brokers for a test, which shares nothing else of it with the next one.
MAKES_ONE_EACH = {"start"}


def group(item: pytest.Item) -> str:
    """Return what names the tests that run in one process, in their order; its id for one alone."""
    if named := item.get_closest_marker("group"):
        return str(named.args[0])
    if not isinstance(item, pytest.Function) or not any(
        found[-1].scope in ("module", "class")
        for name, found in item._fixtureinfo.name2fixturedefs.items()
        if name not in MAKES_ONE_EACH
    ):
        return item.nodeid
    line = item.callspec.params.get("line", "") if hasattr(item, "callspec") else ""
    return f"{item.path.stem} {line}".strip()


def early_first(items: list[pytest.Item]) -> None:
    """Put groups with a test that takes long before the others."""
    early = {group(item) for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: group(item) not in early)


def write_groups(file: Path, items: list[pytest.Item]) -> None:
    """Write for the process that hands the tests out which groups they are in."""
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps({item.nodeid: group(item) for item in items}))
    unfinished.rename(file)


class ByGroup(LoadScopeScheduling):
    """Hands out one group after the other, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any, file: Path) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self.file = file

    @cached_property
    def _groups(self) -> dict[str, str]:
        return {str(key): str(name) for key, name in json.loads(self.file.read_text()).items()}

    def _split_scope(self, nodeid: str) -> str:
        return self._groups[nodeid]
