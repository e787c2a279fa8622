"""`make test` sets up and runs the requested stages, and reports slow tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cli.development.test_suite
from bootstrap import apt, packages
from cli.development.test_suite import STAGES, Stage, Timed, chosen, durations, set_up, slowest
from cli.errors import CommandError
from cli.stack import ROOT


def test_all_stages_run_by_default():
    assert list(chosen("")) == ["lint", "go", "unit", "host", "engine", "integration", "e2e"]
    assert chosen(" ") == STAGES


def test_named_stages_run_in_a_fixed_order():
    assert list(chosen("unit")) == ["unit"]
    assert list(chosen("e2e, unit,e2e")) == ["unit", "e2e"]


@pytest.mark.parametrize("only", ["units", "unit,E2E", "unit,", "unit engine"])
def test_an_unknown_stage_is_an_error_that_names_the_others(only):
    with pytest.raises(CommandError) as error:
        chosen(only)
    assert "there are lint, go, unit, host, engine, integration, e2e." in str(error.value)


def test_an_unknown_stage_is_an_error_before_the_setup(desk, monkeypatch):
    monkeypatch.setattr(cli.development.test_suite, "set_up", lambda _: pytest.fail("set up"))
    monkeypatch.setattr("sys.argv", ["test", "--only=everything"])
    with pytest.raises(CommandError, match="'everything'"):
        cli.development.test_suite.main()


def test_every_test_is_in_one_stage():
    unit, *others = [stage.paths for stage in STAGES.values() if stage.paths]
    apart = [path for paths in others for path in paths]
    assert unit == ("tests", *(f"--ignore={path}" for path in apart))
    assert all((ROOT / path).is_dir() for path in apart)


@pytest.fixture
def steps(monkeypatch):
    """The setup steps, in order."""
    found: list[str] = []
    monkeypatch.setattr(apt, "can_install", lambda: True)
    monkeypatch.setattr(packages, "install", lambda what: found.append(f"packages of the {what}"))
    monkeypatch.setattr(cli.development.test_suite, "ensure_daemon", lambda: found.append("docker"))
    monkeypatch.setattr(
        cli.development.test_suite, "fallback_image", lambda suite, *_: found.append(suite)
    )
    monkeypatch.setattr(cli.development.test_suite, "ensure_engine", lambda: found.append("engine"))
    return found


@pytest.mark.parametrize(
    ("only", "needs"),
    [
        ("lint", set()),
        ("lint,go", set()),
        ("unit", {"packages of the tests"}),
        ("engine", {"packages of the tests", "engine"}),
        ("integration", {"packages of the tests", "docker", "trixie", "forky"}),
        ("e2e", {"packages of the tests", "docker", "trixie", "forky", "engine"}),
        ("lint,unit,engine", {"packages of the tests", "engine"}),
        ("", {"packages of the tests", "docker", "trixie", "forky", "engine"}),
    ],
)
def test_a_stage_is_set_up_and_packages_come_first(steps, only, needs):
    set_up(chosen(only).values())
    assert set(steps) == needs
    assert steps[:1] == ["packages of the tests"] * bool(needs)


def test_only_tests_need_root_on_debian(monkeypatch):
    monkeypatch.setattr(apt, "can_install", lambda: False)
    set_up(chosen("lint,go").values())
    with pytest.raises(CommandError, match="they need root on Debian or Ubuntu"):
        set_up(chosen("lint,unit").values())


TESTS = """\
import shutil, subprocess, time, pytest

@pytest.fixture(scope="module")
def shared():
    time.sleep(0.3)

def test_slow(shared):
    pass

class TestIt:
    def test_path(self):
        assert shutil.which("sh")
        assert shutil.which("of-this-machine") is None

@pytest.mark.skip
def test_skipped(): ...
"""


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """``suite(text)``: failed stages and durations of a stage that runs the tests in *text*."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "of-this-machine").write_text("#!/bin/sh\n")
    (programs / "of-this-machine").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    # Installed plugins take seconds to load.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text: str, *commands: tuple[str, ...]):
        (tmp_path / "test_made_up.py").write_text(text)
        stage = Stage(title="a", paths=(str(tmp_path), "-p", "no:cacheprovider"), commands=commands)
        return cli.development.test_suite.run({"made-up": stage})

    return run


def test_the_duration_of_a_test_includes_its_fixtures(suite, capfd):
    failed, tests = suite(TESTS)

    assert failed == [], capfd.readouterr().out
    first, *others = sorted(tests, reverse=True)
    assert first.test.endswith("test_made_up::test_slow")
    assert first.seconds > 0.3
    assert {timed.test.rpartition(".")[2] for timed in others} >= {"TestIt::test_path"}
    lines = slowest(tests)
    assert "the 3 slowest of 3 tests" in lines[0]
    assert "test_slow" in lines[1]
    assert "test: a" in capfd.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "def test_it(): assert False",
        "import subprocess\ndef test_it(): subprocess.run(['of-this-machine'])",
        "import os\ndef test_it(): os._exit(3)",
    ],
    ids=["fails", "runs a program of no package", "ends before its report"],
)
def test_a_failed_stage_is_named(suite, text):
    assert suite(text)[0] == ["made-up"]


def test_a_failed_command_is_not_hidden_by_later_ones(suite):
    assert suite("def test_it(): pass", ("false",), ("true",))[0] == ["made-up"]


def test_the_twenty_slowest_tests_are_named(capsys):
    lines = slowest([Timed(seconds / 10, f"test_{seconds}") for seconds in range(100)])
    assert len(lines) == 21
    assert lines[1].split() == ["9.9", "s", "test_99"]
    assert lines[-1].split() == ["8.0", "s", "test_80"]
    assert slowest([]) == []


def test_without_a_report_there_are_no_durations():
    assert durations(Path("/no/such/report.xml")) == []


def test_the_summary_is_printed_after_a_failed_stage(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["test", "--only=unit", "--no-set-up"])
    monkeypatch.setattr(
        cli.development.test_suite, "run", lambda _: (["unit"], [Timed(1.0, "a::b")])
    )
    with pytest.raises(CommandError, match="failed: unit"):
        cli.development.test_suite.main()
    assert "1.0 s  a::b" in capsys.readouterr().err


def test_no_programs_are_linked_without_tests(monkeypatch):
    monkeypatch.setattr(
        cli.development.test_suite, "link_programs", lambda *_: pytest.fail("linked")
    )
    assert cli.development.test_suite.run({"made-up": Stage(title="a", commands=(("true",),))}) == (
        [],
        [],
    )


def test_make_help_names_the_stages():
    (line,) = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("test:")
    ]
    assert line.endswith(", ".join(STAGES))
