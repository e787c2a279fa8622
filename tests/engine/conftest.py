"""A tiny program on the engine that this machine has: each test says what it declares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bootstrap.engine import Engine, ensure_engine

HEAD = """
import pulumi
from pulumi import ResourceOptions
from pulumi_command import local
from pulumi_random import RandomBytes, RandomPassword
"""


@dataclass(frozen=True)
class Run:
    """How a command of the CLI ended, and all that it printed."""

    code: int
    text: str


@dataclass(frozen=True)
class Project:
    """A project folder with a state of its own."""

    folder: Path
    engine: Engine

    def declare(self, text: str) -> None:
        (self.folder / "__main__.py").write_text(HEAD + text, encoding="utf-8")

    def pulumi(self, *words: str) -> Run:
        path = [str(Path(sys.executable).parent), *map(str, self.engine.bin), os.environ["PATH"]]
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.folder,
            env={
                **os.environ,
                **self.engine.environment,
                "PATH": os.pathsep.join(path),
                "PULUMI_BACKEND_URL": (self.folder / "state").as_uri(),
                "PULUMI_CONFIG_PASSPHRASE": "of-the-tests",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def up(self, text: str | None = None, *, fails: bool = False) -> str:
        if text is not None:
            self.declare(text)
        run = self.pulumi("up", "--yes", "--skip-preview")
        assert (run.code != 0) == fails, run.text
        return run.text

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what the state holds of each resource, by name; secrets stay encrypted."""
        deployment = json.loads(self.pulumi("stack", "export").text)["deployment"]
        return {each["urn"].rpartition("::")[2]: each for each in deployment.get("resources", [])}

    def read(self, name: str) -> str:
        """Return what a script has left in the folder."""
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""


@pytest.fixture(scope="session")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture
def project(engine, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: trial\nruntime: python\n", encoding="utf-8")
    made = Project(tmp_path, engine)
    made.declare("")
    assert made.pulumi("stack", "init", "trial").code == 0
    return made
