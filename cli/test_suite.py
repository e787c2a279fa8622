"""`make test`: what can be wrong has been looked for, and where the time went is said."""

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
from bootstrap.daemon import ensure_daemon
from bootstrap.engine import ensure_engine
from bootstrap.image import RECIPES, stand_in
from cli.bare_path import link_programs
from cli.exit_codes import finish
from cli.refusals import Refusal
from cli.stack import ROOT

SLOWEST = 20
LAST_LINES = 40
NO_TESTS = 5
"""pytest's exit code where it selected none."""
BIN = Path(sys.executable).parent
APART = ("tests/engine", "tests/integration", "tests/e2e")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Commands that run together, or paths that pytest is given, and what has to be there first."""

    title: str
    commands: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()
    workers: int = 1
    """Processes that pytest runs tests in; those that are marked ``alone`` follow in one."""
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
    "engine": Stage(title="engine", paths=("tests/engine",), workers=2, engine=True),
    "integration": Stage(
        title="integration: Mosquitto 2.0 and 2.1",
        paths=("tests/integration",),
        workers=4,
        docker=True,
    ),
    "e2e": Stage(title="e2e", paths=("tests/e2e",), workers=4, docker=True, engine=True),
}
"""The quick ones first."""


@dataclass(frozen=True, order=True)
class Timed:
    """A test and what it took, its fixtures included: the first that asks for one pays for it."""

    seconds: float
    test: str
    failure: str = ""
    """What pytest said of it, where it failed."""


def main() -> None:
    """Get the machine ready, run the stages, and fail if one of them did."""
    parser = argparse.ArgumentParser(description="Run the tests.")
    parser.add_argument(
        "--only", default="", metavar="STAGE,...", help=f"of {', '.join(STAGES)}; all by default"
    )
    parser.add_argument("--no-set-up", action="store_true", help="everything is there already")
    given = parser.parse_args()
    stages = chosen(given.only)
    if not given.no_set_up:
        set_up(stages.values())
    failed, tests = run(stages)
    progress.where_the_time_went()
    for line in (*slowest(tests), *failures(tests)):
        print(line, file=sys.stderr, flush=True)
    if failed:
        raise Refusal(f"failed: {', '.join(failed)}; what they said is above.")


def chosen(only: str) -> dict[str, Stage]:
    """Return the stages that *only* names, separated by commas; all of them if it is empty."""
    names = [name.strip() for name in only.split(",")] if only.strip() else list(STAGES)
    if unknown := [name for name in names if name not in STAGES]:
        raise Refusal(
            f"no stage is called {', '.join(map(repr, unknown))}; there are {', '.join(STAGES)}."
        )
    return {name: stage for name, stage in STAGES.items() if name in names}


def set_up(stages: Iterable[Stage]) -> None:
    """Install and build what *stages* need."""
    stages = list(stages)
    if not any(stage.paths for stage in stages):
        return
    if not apt.can_install():
        raise Refusal(
            "the tests start a real sshd, make a login and mount small disks: they need root on "
            "Debian or Ubuntu. Run them in a container or a virtual machine of your own."
        )
    packages.install(what="tests")
    if any(stage.docker for stage in stages):
        daemon = ensure_daemon()
        for recipe in RECIPES:
            for suite in recipe.expected:
                stand_in(suite, daemon, recipe)
    if any(stage.engine for stage in stages):
        ensure_engine()


def run(stages: Mapping[str, Stage]) -> tuple[list[str], list[Timed]]:
    """Run *stages* and return the names of those that failed, and what each test took."""
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
                for number, argv in enumerate(pytests(stage)):
                    report = Path(folder, f"{name}-{number}.xml")
                    code = _code(("env", f"PATH={path}", *argv, f"--junitxml={report}"))
                    # Of a stage in two parts the second may have no tests.
                    codes.append(0 if number and code == NO_TESTS else code)
                    tests += durations(report)
                if any(codes):
                    failed.append(name)
                    step.end(f"FAILED (exit {max(codes, key=abs)})")
    return failed, tests


def pytests(stage: Stage) -> list[tuple[str, ...]]:
    """Return the calls of pytest that run the tests of *stage*, without their reports."""
    if not stage.paths:
        return []
    pytest = (sys.executable, "-m", "pytest", "-q", *stage.paths)
    if stage.workers == 1:
        return [pytest]
    side_by_side = ("-n", str(stage.workers), "--dist=loadgroup")  # tests/side_by_side.py
    return [(*pytest, *side_by_side, "-m", "not alone"), (*pytest, "-m", "alone")]


@contextmanager
def bare_path() -> Iterator[str]:
    """
    Yield a PATH for the tests: a program that no package in the list brings is not found there.

    Every user may enter its folder, which is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="sentient-mqtt-programs-") as folder:
        Path(folder).chmod(0o755)
        link_programs(Path(folder), os.environ["PATH"])
        yield folder


def durations(report: Path) -> list[Timed]:
    """Read what each test took from pytest's JUnit *report*; a run that broke off has none."""
    if not report.exists():
        return []
    cases = ET.parse(report).iter("testcase")  # noqa: S314  (pytest wrote it)
    return [
        Timed(
            float(case.get("time", 0)),
            f"{case.get('classname')}::{case.get('name')}",
            "\n".join(part.text or "" for part in case if part.tag in ("failure", "error")),
        )
        for case in cases
    ]


def slowest(tests: Sequence[Timed]) -> list[str]:
    """Return a line for each of the tests that took longest, the slowest first."""
    if not tests:
        return []
    first = sorted(tests, reverse=True)[:SLOWEST]
    return [
        f"==> the {len(first)} slowest of {len(tests)} tests, with the fixtures that each was the "
        "first to ask for",
        *(f"    {timed.seconds:8.1f} s  {timed.test}" for timed in first),
    ]


def failures(tests: Iterable[Timed]) -> Iterator[str]:
    """Yield the end of what pytest said of each test that failed."""
    for timed in tests:
        if timed.failure:
            yield f"==> failed: {timed.test}"
            yield from (f"    {line}" for line in timed.failure.splitlines()[-LAST_LINES:])


def _code(argv: Sequence[str]) -> int:
    return subprocess.run(argv, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    finish(main)
