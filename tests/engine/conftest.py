"""
A tiny program on the engine that this machine has: each test says what it declares.

``@declares(text, text, ...)``: the case is shown on a stack that it shares with all such tests, where
it has a folder and a resource of its own. Each text is what the program says of it at one `up`; the
last one holds for those that follow. In it ``name`` is the case's, of its folder and its resource.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
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
            timeout=600,
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


@dataclass(frozen=True)
class Step:
    """What came of one `up`, or of the preview before the first one."""

    code: int
    said: str
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Story:
    """A stack on which many cases are shown at once."""

    project: Project
    steps: list[Step]
    """The preview before the first `up`, and each `up`."""


@dataclass(frozen=True)
class Case:
    """One of them. Steps are counted from 1; without one, the last is meant."""

    name: str
    story: Story

    def read(self, file: str, step: int = -1) -> str:
        """Return what a script had left in the case's folder."""
        return self.story.steps[step].files.get(Path(self.name, file), "")

    def resource(self, step: int = -1) -> dict[str, Any] | None:
        """Return what the state held of the case's resource."""
        return self.story.steps[step].resources.get(self.name)

    def output(self, step: int = -1) -> Any:
        return self.story.steps[step].outputs[self.name]

    def said(self, step: int = -1) -> str:
        """Return all that was printed, of the other cases too."""
        return self.story.steps[step].said

    def code(self, step: int = -1) -> int:
        return self.story.steps[step].code


def pytest_itemcollected(item: pytest.Item) -> None:
    """With `pytest -n`, each stack is the business of one process."""
    declared = item.get_closest_marker("declares")
    item.add_marker(pytest.mark.group(_stack_of(declared) if declared else item.name))


def _stack_of(declared: pytest.Mark) -> str:
    return str(declared.kwargs.get("stack", "well"))


def _name(item: pytest.Item) -> str:
    return re.sub(r"\W+", "-", item.name.partition("@")[0])


@pytest.fixture(scope="session")
def engine() -> Engine:
    return ensure_engine()


@pytest.fixture(scope="session")
def make_project(engine, tmp_path_factory) -> Callable[[], Project]:
    def make() -> Project:
        folder = tmp_path_factory.mktemp("project")
        (folder / "state").mkdir()
        (folder / "Pulumi.yaml").write_text("name: trial\nruntime: python\n", encoding="utf-8")
        made = Project(folder, engine)
        made.declare("")
        assert made.pulumi("stack", "init", "trial").code == 0
        return made

    return make


@pytest.fixture
def project(make_project) -> Project:
    """A stack of the test's own."""
    return make_project()


@pytest.fixture(scope="session")
def stories(request, make_project) -> Callable[[str], Story]:
    """``stories("well")``: the stack of that name, after all that its cases declare."""

    @cache
    def told(stack: str) -> Story:
        cases = {
            _name(item): declared.args
            for item in request.session.items
            if (declared := item.get_closest_marker("declares")) and _stack_of(declared) == stack
        }
        project = make_project()
        for name in cases:
            (project.folder / name).mkdir()
        story = Story(project, [])
        for number in range(max(map(len, cases.values())) + 1):
            texts = {name: says[max(0, min(number, len(says)) - 1)] for name, says in cases.items()}
            project.declare("".join(f"name = {name!r}\n{text}\n" for name, text in texts.items()))
            (project.folder / "step").write_text(str(number))
            story.steps.append(_step(project, cases, number, fails=stack != "well"))
        return story

    return told


def _step(project: Project, cases: Iterable[str], number: int, *, fails: bool) -> Step:
    if number == 0:
        run = project.pulumi("preview")
        return Step(run.code, run.text, files=_files(project.folder, cases))
    run = project.pulumi("up", "--yes", "--skip-preview", *["--continue-on-error"] * fails)
    assert fails or run.code == 0, run.text
    shown = project.pulumi("stack", "output", "--json", "--show-secrets")
    files = _files(project.folder, cases)
    return Step(run.code, run.text, project.state(), json.loads(shown.text), files)


def _files(folder: Path, cases: Iterable[str]) -> dict[Path, str]:
    return {
        file.relative_to(folder): file.read_text(encoding="utf-8")
        for name in cases
        for file in (folder / name).rglob("*")
        if file.is_file()
    }


@pytest.fixture
def case(request, stories) -> Case:
    """What came of what the test declares."""
    declared = request.node.get_closest_marker("declares")
    return Case(_name(request.node), stories(_stack_of(declared)))
