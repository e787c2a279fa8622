"""`make test`: run the stages of the tests, and report failures and durations."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from bootstrap import apt, packages, progress
from bootstrap.broker_image import RECIPES, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from bootstrap.pulumi_engine import ensure_engine
from cli.development.bare_path import link_programs
from cli.errors import CommandError
from cli.exit_codes import finish
from cli.stack import ROOT

SLOWEST = 20
LAST_LINES = 40
BIN = Path(sys.executable).parent
APART = ("tests/host", "tests/engine", "tests/integration", "tests/e2e")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Commands, or paths for pytest, and the setup that they need."""

    title: str
    commands: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    workers: int = 1
    """Parallel processes of pytest."""
    docker: bool = False
    engine: bool = False


STAGES = {
    "lint": Stage(
        title="ruff, mypy",
        commands=(
            (f"{BIN}/ruff", "check", "."),
            (f"{BIN}/ruff", "format", "--check", "."),
            (f"{BIN}/mypy",),
        ),
    ),
    "go": Stage(
        title="go test",
        commands=(("go", "-C", str(ROOT / "engine" / "command"), "test", "./..."),),
    ),
    # Docker and Pulumi are replaced by programs that a test writes.
    "unit": Stage(
        title="unit", paths=("tests", *(f"--ignore={path}" for path in APART)), workers=2
    ),
    # The scripts that run on the broker's host, in a shell, on real files.
    "host": Stage(title="host", paths=("tests/host",), workers=2),
    "engine": Stage(title="engine", paths=("tests/engine",), workers=2, engine=True),
    "integration": Stage(
        title="integration: Mosquitto 2.0 and 2.1",
        paths=("tests/integration",),
        workers=4,
        docker=True,
    ),
    "e2e": Stage(title="e2e", paths=("tests/e2e",), workers=4, docker=True, engine=True),
}
"""Quick stages first."""


@dataclass(frozen=True, order=True)
class Timed:
    """The duration of a test, with the fixtures that it is the first to need."""

    seconds: float
    test: str
    failure: str = ""
    """Output of pytest, if the test failed."""


def main() -> None:
    """Set up the machine, run the stages, and fail if a stage failed."""
    parser = argparse.ArgumentParser(description="Run the tests.")
    parser.add_argument(
        "--only", default="", metavar="STAGE,...", help=f"of {', '.join(STAGES)}; all by default"
    )
    parser.add_argument("--no-set-up", action="store_true", help="install and build nothing")
    given = parser.parse_args()
    stages = chosen(given.only)
    if not given.no_set_up:
        set_up(stages.values())
    failed, tests = run(stages)
    progress.print_timings()
    for line in (*slowest(tests), *failures(tests)):
        print(line, file=sys.stderr, flush=True)
    if failed:
        raise CommandError(f"failed: {', '.join(failed)}; their output is above.")


def chosen(only: str) -> dict[str, Stage]:
    """Return the stages that *only* names, separated by commas; all stages if it is empty."""
    names = [name.strip() for name in only.split(",")] if only.strip() else list(STAGES)
    if unknown := [name for name in names if name not in STAGES]:
        raise CommandError(
            f"no stage is called {', '.join(map(repr, unknown))}; there are {', '.join(STAGES)}."
        )
    return {name: stage for name, stage in STAGES.items() if name in names}


def set_up(stages: Iterable[Stage]) -> None:
    """Install and build what *stages* need."""
    stages = list(stages)
    if not any(stage.paths for stage in stages):
        return
    if not apt.can_install():
        raise CommandError(
            "the tests start a real sshd, make a login and mount small disks: they need root on "
            "Debian or Ubuntu. Run them in a container or a virtual machine of your own."
        )
    packages.install(what="tests")
    if any(stage.docker for stage in stages):
        daemon = ensure_daemon()
        for recipe in RECIPES:
            for suite in recipe.expected:
                fallback_image(suite, daemon, recipe)
    if any(stage.engine for stage in stages):
        ensure_engine()


def run(stages: Mapping[str, Stage]) -> tuple[list[str], list[Timed]]:
    """Run *stages*, and return the names of failed stages and the duration of each test."""
    failed: list[str] = []
    tests: list[Timed] = []
    tested = any(stage.paths for stage in stages.values())
    with (
        tempfile.TemporaryDirectory(prefix="sentient-mqtt-tests-") as folder,
        bare_path() if tested else nullcontext("") as path,
    ):
        for name, stage in stages.items():
            with progress.step(f"test: {stage.title}") as step:
                sys.stdout.flush()
                codes = [_code(argv) for argv in stage.commands]
                if stage.paths:
                    report = Path(folder, f"{name}.xml")
                    argv = (*pytest_command(stage), f"--junitxml={report}")
                    codes.append(_code(("env", f"PATH={path}", *argv)))
                    tests += durations(report)
                if any(codes):
                    failed.append(name)
                    step.end(f"FAILED (exit {max(codes, key=abs)})")
    return failed, tests


def pytest_command(stage: Stage) -> tuple[str, ...]:
    """Return the command line of pytest for *stage*, without the report option."""
    command = (sys.executable, "-m", "pytest", "-q", *stage.paths)
    if stage.workers == 1:
        return command
    return (*command, "-n", str(stage.workers), "--dist=loadgroup")  # tests/side_by_side.py


@contextmanager
def bare_path() -> Iterator[str]:
    """
    Yield a PATH for the tests that has only programs of listed packages.

    Every user may enter its folder, which is deleted afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="sentient-mqtt-programs-") as folder:
        Path(folder).chmod(0o755)
        link_programs(Path(folder), os.environ["PATH"])
        yield folder


def durations(report: Path) -> list[Timed]:
    """Return the duration of each test in pytest's JUnit *report*; an aborted run has none."""
    if not report.exists():
        return []
    cases = ET.parse(report).iter("testcase")  # noqa: S314  (pytest wrote it)
    return [
        Timed(
            float(case.get("time", 0)),
            f"{case.get('classname')}::{case.get('name')}",
            "\n".join(child.text or "" for child in case if child.tag in ("failure", "error")),
        )
        for case in cases
    ]


def slowest(tests: Sequence[Timed]) -> list[str]:
    """Return a heading and a line for each of the slowest tests."""
    if not tests:
        return []
    first = sorted(tests, reverse=True)[:SLOWEST]
    return [
        f"==> the {len(first)} slowest of {len(tests)} tests, including fixtures that a test was "
        "the first to need",
        *(f"    {timed.seconds:8.1f} s  {timed.test}" for timed in first),
    ]


def failures(tests: Iterable[Timed]) -> Iterator[str]:
    """Yield the last lines of pytest's output for each failed test."""
    for timed in tests:
        if timed.failure:
            yield f"==> failed: {timed.test}"
            yield from (f"    {line}" for line in timed.failure.splitlines()[-LAST_LINES:])


def _code(argv: Sequence[str]) -> int:
    return subprocess.run(argv, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    finish(main)
