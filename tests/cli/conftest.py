"""What tests of commands share: a stack file, and a pulumi and docker that record their calls."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from declared import SMALLEST

import cli.app
import cli.pulumi
import cli.stack
from bootstrap.pulumi_backend import Backend
from bootstrap.pulumi_engine import Engine


class Desk:
    """A folder with a stack file and a state, and a ``pulumi`` on PATH that a test defines."""

    broker: ClassVar = {
        "urn": "urn:pulumi:test::sentient-mqtt::docker:index/container:Container::broker",
        "type": "docker:index/container:Container",
        "outputs": {"name": SMALLEST["broker"]["container"]},
    }
    """The broker's container, as `pulumi stack export` prints it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.file = folder / "Pulumi.test.yaml"
        self.write()
        self.calls_file = folder / "calls"
        self.backend = Backend(local_passphrase=True)
        self.outputs: dict[str, Any] = {}
        self.resources: list[dict[str, Any]] = [self.broker]
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.pulumi("exit 0")
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}{os.environ['PATH']}")
        # The default of a method is bound when the method is defined.
        monkeypatch.setattr(cli.stack.Stack.read.__func__, "__defaults__", (folder,))
        monkeypatch.setattr(
            cli.pulumi,
            "ensure_engine",
            lambda: Engine(bin=(self.bin,), environment={}, origin="test"),
        )
        monkeypatch.setattr(cli.pulumi, "ensure_backend", lambda *_: self.backend)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state-home"))
        state = folder / "state"
        self.state_file = state / ".pulumi" / "stacks" / "sentient-mqtt" / "test.json"
        self.checkpoint("urn:of-a-container")
        monkeypatch.setenv("PULUMI_BACKEND_URL", state.as_uri())

    def rename(self, stack: str) -> None:
        """Rename the stack file and the state to those of another stack."""
        self.file = self.file.rename(self.file.with_name(f"Pulumi.{stack}.yaml"))
        self.state_file = self.state_file.rename(self.state_file.with_name(f"{stack}.json"))

    def write(self, below: str = "", **broker: Any) -> None:
        config = SMALLEST | {"broker": {**SMALLEST["broker"], **broker}}
        named = {f"sentient-mqtt:{key}": value for key, value in config.items()}
        self.file.write_text(yaml.safe_dump({"config": named}) + below)

    def pulumi(self, body: str) -> None:
        """Set what pulumi runs, in sh, after it answers ``stack output`` and ``stack export``."""
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
        """Return the arguments of each call of pulumi, in order."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text().splitlines()
        return [line.removeprefix("--non-interactive ") for line in lines]

    def checkpoint(self, *resources: str) -> None:
        """Write a state of the stack with *resources*."""
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        latest = {"resources": [{"urn": urn} for urn in resources]} if resources else None
        text = json.dumps({"version": 3, "checkpoint": {"latest": latest}})
        self.state_file.write_text(text)

    def run(self, *words: str) -> None:
        """Run a command on the stack ``test``, as ``./brokerctl`` does; an error is raised."""
        self._monkeypatch.setenv("SENTIENT_MQTT_STACK", "test")
        try:
            cli.app.run(list(words))
        except SystemExit as ended:
            if ended.code:
                raise


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


@pytest.fixture
def fake_docker(desk: Desk) -> Callable[[str], Callable[[], list[str]]]:
    """``calls = fake_docker(body)``: a docker that records its calls, then runs *body*, in sh."""
    calls = desk.folder / "docker-calls"

    def make(body: str) -> Callable[[], list[str]]:
        (desk.bin / "docker").write_text(f'#!/bin/sh\nshift 2\necho "$*" >>"{calls}"\n{body}\n')
        (desk.bin / "docker").chmod(0o755)
        return lambda: calls.read_text().splitlines()

    return make
