"""
Small Pulumi programs, run with a real engine.

``@declares(text, text, ...)``: the test uses a stack that it shares with all such tests, with its
own folder and its own resource. The texts are its part of the program, one per `up`; the last one
also applies to the following runs. In a text, ``name`` is the name of the folder and the resource.
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

from bootstrap.pulumi_engine import Engine, ensure_engine

HEAD = """
import pulumi
from pulumi import ResourceOptions
from pulumi_command import local
from pulumi_random import RandomBytes, RandomPassword
"""


@dataclass(frozen=True)
class Run:
    """The exit code and the output of a command of the Pulumi CLI."""

    code: int
    text: str


@dataclass(frozen=True)
class Project:
    """A project folder with its own state."""

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
        """Return the resources in the state, by name; secrets are encrypted."""
        deployment = json.loads(self.pulumi("stack", "export").text)["deployment"]
        return {
            resource["urn"].rpartition("::")[2]: resource
            for resource in deployment.get("resources", [])
        }

    def read(self, name: str) -> str:
        """Return the text of a file in the folder; '' if it does not exist."""
        file = self.folder / name
        return file.read_text(encoding="utf-8") if file.exists() else ""


@dataclass(frozen=True)
class Step:
    """The result of one `up`, or of the preview before the first one."""

    code: int
    text: str
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SharedStack:
    """The stack of many cases, deployed together."""

    project: Project
    steps: list[Step]
    """The preview before the first `up`, then every `up`."""


@dataclass(frozen=True)
class Case:
    """One case of a shared stack. Step 0 is the preview, 1 the first `up`; -1 is the last one."""

    name: str
    stack: SharedStack

    def read(self, file: str, step: int = -1) -> str:
        """Return the text of a file in the case's folder; '' if it did not exist."""
        return self.stack.steps[step].files.get(Path(self.name, file), "")

    def resource(self, step: int = -1) -> dict[str, Any] | None:
        """Return the case's resource in the state."""
        return self.stack.steps[step].resources.get(self.name)

    def output(self, step: int = -1) -> Any:
        return self.stack.steps[step].outputs[self.name]

    def text(self, step: int = -1) -> str:
        """Return the whole output of the step, including that of the other cases."""
        return self.stack.steps[step].text

    def code(self, step: int = -1) -> int:
        return self.stack.steps[step].code


def pytest_itemcollected(item: pytest.Item) -> None:
    """With `pytest -n`, run all cases of a stack in one process."""
    declared = item.get_closest_marker("declares")
    item.add_marker(pytest.mark.group(_stack_of(declared) if declared else item.name))


def _stack_of(declared: pytest.Mark) -> str:
    return str(declared.kwargs.get("stack", "succeeds"))


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
        project = Project(folder, engine)
        project.declare("")
        assert project.pulumi("stack", "init", "trial").code == 0
        return project

    return make


@pytest.fixture
def project(make_project) -> Project:
    """A project for one test."""
    return make_project()


@pytest.fixture(scope="session")
def shared_stacks(request, make_project) -> Callable[[str], SharedStack]:
    """``shared_stacks("succeeds")`` returns the stack of this name, after all runs of its cases."""

    @cache
    def deploy(stack: str) -> SharedStack:
        cases = {
            _name(item): declared.args
            for item in request.session.items
            if (declared := item.get_closest_marker("declares")) and _stack_of(declared) == stack
        }
        project = make_project()
        for name in cases:
            (project.folder / name).mkdir()
        shared = SharedStack(project, [])
        for number in range(max(map(len, cases.values())) + 1):
            texts = {
                name: declared[max(0, min(number, len(declared)) - 1)]
                for name, declared in cases.items()
            }
            project.declare("".join(f"name = {name!r}\n{text}\n" for name, text in texts.items()))
            (project.folder / "step").write_text(str(number))
            shared.steps.append(_step(project, cases, number, fails=stack != "succeeds"))
        return shared

    return deploy


def _step(project: Project, cases: Iterable[str], number: int, *, fails: bool) -> Step:
    if number == 0:
        run = project.pulumi("preview")
        return Step(run.code, run.text, files=_files(project.folder, cases))
    run = project.pulumi("up", "--yes", "--skip-preview", *["--continue-on-error"] * fails)
    assert fails or run.code == 0, run.text
    outputs = project.pulumi("stack", "output", "--json", "--show-secrets")
    files = _files(project.folder, cases)
    return Step(run.code, run.text, project.state(), json.loads(outputs.text), files)


def _files(folder: Path, cases: Iterable[str]) -> dict[Path, str]:
    return {
        file.relative_to(folder): file.read_text(encoding="utf-8")
        for name in cases
        for file in (folder / name).rglob("*")
        if file.is_file()
    }


@pytest.fixture
def case(request, shared_stacks) -> Case:
    """The results of the texts that the test declares."""
    declared = request.node.get_closest_marker("declares")
    return Case(_name(request.node), shared_stacks(_stack_of(declared)))
