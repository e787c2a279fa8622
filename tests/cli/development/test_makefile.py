"""Values reach the command as they were typed; neither make nor sh expands them."""

import os
import re
import subprocess

import pytest

from cli.stack import ROOT

MAKEFILE = ROOT / "Makefile"
HOSTILE = {
    "quote": "NAME'; touch PWNED; echo '",
    "double quote": 'NAME"; touch PWNED; echo "',
    "semicolon": "NAME; touch PWNED #",
    "backtick": "NAME `touch PWNED`",
    "substitution": "NAME $(touch PWNED)",
    "make's shell": "NAME $(shell touch PWNED) ${shell touch PWNED}",
    "doubled dollar": "NAME $$(touch PWNED) $$SYS/# $HOME",
    "newline": "NAME'\ntouch PWNED\n'",
    "all": '-NAME\'\n"`touch PWNED` $(touch PWNED) $$(shell touch PWNED); touch PWNED \\ {"a": 1}',
}
# Replaces Python and brokerctl, and records its arguments.
PROGRAM = '#!/bin/sh\nprintf "%s\\0" "$@" >>called\n'
GIVEN = {"up": ("STACK", "--stack="), "test": ("ONLY", "--only=")}


@pytest.fixture
def make(tmp_path):
    """``make("up", STACK="x")``: the arguments of the command that the real Makefile runs."""
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "bootstrap" / "venv.sh").touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for program in (tmp_path / ".venv" / "bin" / "python", tmp_path / "brokerctl"):
        program.write_text(PROGRAM)
        program.chmod(0o755)

    def run(target, environ=(), **given):
        (tmp_path / "called").unlink(missing_ok=True)
        # Without the variables of the `make test ONLY=unit` that runs this test.
        of_make = {"MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "STACK", "ONLY", *given}
        before = {name: text for name, text in os.environ.items() if name not in of_make}
        done = subprocess.run(
            ["make", "-s", "-f", MAKEFILE, target, *(f"{k}={v}" for k, v in given.items())],
            cwd=tmp_path,
            env={**before, **dict(environ)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert not (tmp_path / "PWNED").exists()
        return (tmp_path / "called").read_text().split("\0")[:-1]

    return run


def test_the_targets_are_tasks_for_the_repository():
    named = set(re.findall(r"^([a-z-]+):", MAKEFILE.read_text(), re.MULTILINE))
    assert named == {
        "help",
        "up",
        "test",
        "lint",
        "bench",
        "docs",
        "lock",
        "venv-dev",
        "test-fresh",
    }


@pytest.mark.parametrize("target", GIVEN)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_value_reaches_the_command_as_it_was_typed(make, target, hostile):
    name, option = GIVEN[target]
    assert make(target, **{name: HOSTILE[hostile]})[-1] == option + HOSTILE[hostile]
    assert make(target, environ={name: HOSTILE[hostile]})[-1] == option + HOSTILE[hostile]


@pytest.mark.parametrize("name", ["run", "typed", "given_STACK", "STAK", "SHLVL", "PASSWORDS"])
def test_no_other_variable_reaches_a_command(make, name):
    value = "x'; touch PWNED $(shell touch PWNED)"
    assert make("up", **{name: value}) == ["up", "--stack=dev"]


def test_a_missing_value_has_a_default_or_is_omitted(make):
    assert make("up") == ["up", "--stack=dev"]
    assert make("test") == ["-m", "cli.development.test_suite"]
    assert make("lint") == ["-m", "cli.development.test_suite", "--only=lint"]
