"""What tests of commands share: a pulumi that writes down how it was called."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from declared import SMALLEST

import cli.pulumi
import cli.stack
from bootstrap.backend import Backend
from bootstrap.engine import Engine


class Desk:
    """Where a person runs commands: a stack file, and a ``pulumi`` on PATH that a test wrote."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "Pulumi.test.yaml"
        self.write()
        self.calls_file = folder / "calls"
        self.backend = Backend(ours=True)
        self.outputs: dict[str, Any] = {}
        self.resources: list[dict[str, Any]] = []
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.pulumi("exit 0")
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}{os.environ['PATH']}")
        # A dataclass method's default was bound when it was defined.
        monkeypatch.setattr(cli.stack.Stack.read.__func__, "__defaults__", (folder,))
        monkeypatch.setattr(
            cli.pulumi,
            "ensure_engine",
            lambda: Engine(bin=(self.bin,), environment={}, origin="test"),
        )
        monkeypatch.setattr(cli.pulumi, "ensure_backend", lambda *_: self.backend)

    def write(self, below: str = "", **broker: Any) -> None:
        config = SMALLEST | {"broker": {**SMALLEST["broker"], **broker}}
        named = {f"sentient-mqtt:{key}": value for key, value in config.items()}
        self.file.write_text(yaml.safe_dump({"config": named}) + below)

    def pulumi(self, body: str) -> None:
        """*body* is sh; ``stack output`` and ``stack export`` are answered before it runs."""
        state = {"deployment": {"resources": getattr(self, "resources", [])}}
        (self.folder / "state.json").write_text(json.dumps(state))
        (self.folder / "outputs.json").write_text(json.dumps(getattr(self, "outputs", {})))
        (self.bin / "pulumi").write_text(
            f'#!/bin/sh\necho "$*" >>"{self.calls_file}"\n'
            f'case "$*" in *"stack output"*--json*) cat "{self.folder}/outputs.json" ;; esac\n'
            f'case "$*" in *"stack export"*) cat "{self.folder}/state.json" ;; esac\n'
            f"{body}\n"
        )
        (self.bin / "pulumi").chmod(0o755)

    def calls(self) -> list[str]:
        """How pulumi was called, in order."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        return [line.removeprefix("--non-interactive ") for line in lines]

    def run(self, main: Callable[[], None], *words: str) -> None:
        self._monkeypatch.setattr(sys, "argv", ["command", "--stack", "test", *words])
        main()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)
