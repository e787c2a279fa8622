"""This program adopts what version 0.1 left: nothing is created, deleted, replaced or drawn anew."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "recorded" / "state-0.1"
STACKS = ("dev", "prod", "full")
LOOKS: dict[str, dict[str, str]] = {"host": {}, "no-host": {"SENTIENT_MQTT_PREFLIGHT": "skip"}}
"""The environment of a preview that knows what was on the recorded host, and of one that doesn't."""
NOT_THE_PROGRAM = (".*", "__pycache__", "Pulumi.*.yaml", "bench", "docs", "engine", "tests")
REPLACES = ("replace", "create-replacement", "delete-replaced")
CONTAINER = "broker"
CONTAINER_KIND = "docker:index/container:Container"
PASSWORD = "random:index/randomPassword:RandomPassword"

# The preflight sends a script to `sh -s look`. This `sh` answers as the recorded host did.
RECORDED_HOST = """#!/bin/sh
[ "$*" = "-s look" ] || exec /bin/sh "$@"
cat >/dev/null
exec cat '{answer}'
"""


@dataclass(frozen=True)
class Step:
    """What a preview would do with one resource."""

    operation: str
    kind: str
    name: str


@dataclass(frozen=True)
class Project:
    """A copy of the program, with a recorded stack file and a backend of its own."""

    stack: str
    folder: Path
    environment: dict[str, str]

    def pulumi(self, *words: str, **environment: str) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", "--color=never", *words, "--stack", self.stack],
            cwd=self.folder / "program",
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"pulumi {' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module", params=STACKS)
def project(request, engine, tmp_path_factory) -> Project:
    """The current program over a recorded state."""
    stack = request.param
    folder = tmp_path_factory.mktemp(f"state-0.1-{stack}")
    for name in ("backend", "bin"):
        (folder / name).mkdir()
    shutil.copytree(ROOT, folder / "program", ignore=shutil.ignore_patterns(*NOT_THE_PROGRAM))
    shutil.copy(RECORDED / f"Pulumi.{stack}.yaml", folder / "program")
    # A Pulumi that reads Pulumi.yaml's `virtualenv:` finds the one that runs these tests.
    (folder / "program" / ".venv").symlink_to(sys.prefix)
    host = folder / "bin" / "sh"
    host.write_text(RECORDED_HOST.format(answer=RECORDED / f"{stack}.look.txt"))
    host.chmod(0o755)

    path = [folder / "bin", Path(sys.prefix) / "bin", *engine.bin, os.environ["PATH"]]
    unwanted = ("PULUMI_", "DOCKER_", "SENTIENT_MQTT_")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(unwanted)},
        **engine.environment,
        "PATH": os.pathsep.join(map(str, path)),
        "PULUMI_BACKEND_URL": (folder / "backend").as_uri(),
        "PULUMI_CREDENTIALS_PATH": str(folder / "credentials"),
        "PULUMI_CONFIG_PASSPHRASE": "of-the-tests",
    }
    made = Project(stack, folder, environment)
    made.pulumi("stack", "init", "--no-select")
    made.pulumi("stack", "import", "--file", str(RECORDED / f"{stack}.json"))
    return made


@pytest.fixture(scope="module", params=LOOKS)
def preview(request, project) -> tuple[Step, ...]:
    """The steps of `pulumi preview`, those included that change nothing."""
    planned = project.pulumi("preview", "--json", "--show-sames", **LOOKS[request.param])
    return tuple(map(read_step, json.loads(planned)["steps"]))


def read_step(step: dict[str, Any]) -> Step:
    """Read one step; a URN is ``urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME``."""
    _, _, kinds, name = step["urn"].split("::", 3)
    return Step(operation=step["op"], kind=kinds.rpartition("$")[2], name=name)


def test_nothing_is_created_or_deleted(preview):
    changed = ("same", "update", *REPLACES)

    assert [step for step in preview if step.operation not in changed] == []


def test_nothing_but_the_container_is_replaced(preview):
    assert {step.name for step in preview if step.operation in REPLACES} <= {CONTAINER}


def test_the_container_stays(preview, request):
    if request.node.callspec.params["preview"] == "no-host":
        reason = "a host that is not looked at is taken to have the reserved listener"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))

    containers = [step for step in preview if step.kind == CONTAINER_KIND]

    assert CONTAINER in {step.name for step in containers}
    assert [step for step in containers if step.operation != "same"] == []


def test_every_password_stays(preview, project):
    state = json.loads((RECORDED / f"{project.stack}.json").read_text())["deployment"]
    recorded = {
        resource["urn"].rpartition("::")[2]
        for resource in state["resources"]
        if resource["type"] == PASSWORD
    }
    stayed = {step.name for step in preview if step.kind == PASSWORD and step.operation == "same"}

    assert len(recorded) > 3
    assert stayed == recorded
