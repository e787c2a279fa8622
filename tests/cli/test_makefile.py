"""What a person gives to make reaches the command as it was typed; neither make nor sh runs it."""

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
# It stands in for Python, and writes down its arguments.
PROGRAM = '#!/bin/sh\nprintf "%s\\0" "$@" >>called\n'


def recipes():
    """Return the recipe of each target that runs a command of the product."""
    found = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", MAKEFILE.read_text(), re.MULTILINE))
    return {name: text for name, text in found.items() if "$(run) " in text and name != "bench"}


def variables(recipe):
    """Return the variables of a recipe: those that reach the command, and those that switch."""
    passed = set(re.findall(r"\$\$\{?given_([A-Z_]+)", recipe))
    passed |= set(re.findall(r"\(call option,--[a-z-]+,([A-Z_]+)\)", recipe))
    if "$(stack)" in recipe:
        passed.add("STACK")
    return passed, set(re.findall(r"\(call flag,--[a-z-]+,([A-Z_]+)", recipe))


PAIRS = [
    (target, name)
    for target, text in recipes().items()
    for name in sorted(set().union(*variables(text)))
]


@pytest.fixture
def make(tmp_path):
    """``make(target, TOPIC="x")``: the arguments of the command that the real Makefile runs."""
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "bootstrap" / "venv.sh").touch()
    program = tmp_path / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)

    def run(target, environ=(), **given):
        (tmp_path / "called").unlink(missing_ok=True)
        before = {name: text for name, text in os.environ.items() if name not in ("USER", *given)}
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


def value_of(words, name):
    """Return what stands behind the ``=`` of the options that *name* appears in."""
    return [word.partition("=")[2] for word in words if name in word]


def test_the_table_is_complete():
    """Every variable of the Makefile stands in it, and none is expanded by make in a recipe."""
    text = MAKEFILE.read_text()
    listed = re.search(r"^override givens := ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    names = set(listed[1].replace("\\\n", " ").split()) - {"python"}
    assert {name for _, name in PAIRS} == names
    expanded = {
        name for recipe in recipes().values() for name in re.findall(r"\$\(([A-Za-z_]+)\)", recipe)
    }
    assert expanded == {"run", "stack"}
    assert len(recipes()) >= 25


ROUNDS = [
    *((target, "all") for target in recipes()),
    *((target, hostile) for target in ("publish", "adopt", "down") for hostile in HOSTILE),
]


@pytest.mark.parametrize(("target", "hostile"), ROUNDS)
def test_values_reach_the_command_as_they_were_typed(make, target, hostile):
    passed, switches = variables(recipes()[target])
    given = {name: HOSTILE[hostile].replace("NAME", f"={name}=") for name in passed | switches}

    words = make(target, **given)

    # With ALL, a file is written for every user.
    left_out = {"USER"} if target == "credentials" else set()
    for name in passed - left_out:
        assert value_of(words, f"={name}=") == [given[name]]


@pytest.mark.parametrize("target", ["who-can", "explain"])
def test_a_system_topic_is_asked_about_as_it_was_typed(make, target):
    assert "--topic=$SYS/#" in make(target, TOPIC="$SYS/#", USER="admin", ACTION="read")


@pytest.mark.parametrize(("target", "name"), PAIRS)
def test_each_value_alone(make, target, name):
    value = HOSTILE["all"].replace("NAME", f"={name}=")
    passed, _ = variables(recipes()[target])

    words = make(target, **{name: value})

    assert value_of(words, f"={name}=") == ([value] if name in passed else [])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_value_from_the_environment_is_as_harmless(make, hostile):
    value = HOSTILE[hostile]
    words = make("publish", environ={"TOPIC": value, "RETAIN": value, "given_MESSAGE": value})

    assert f"--topic={value}" in words
    assert "--message=" in words


@pytest.mark.parametrize("name", ["stack", "run", "option", "typed", "STAK", "SHLVL"])
def test_no_other_variable_runs_anything(make, name):
    value = "x'; touch PWNED $(shell touch PWNED)"
    assert make("publish", TOPIC="a", **{name: value})[1] == "cli.publish"


def test_another_python_is_one_word(make, tmp_path):
    other = tmp_path / "it's; touch PWNED"
    other.write_text(PROGRAM)
    other.chmod(0o755)
    (tmp_path / ".venv" / "bin" / "python").unlink()

    assert make("status", python=str(other))[1] == "cli.status"


def test_only_a_user_given_to_make_counts(make):
    assert "--user=" in make("watch", environ={"USER": "of-the-shell"})
    assert "--user=sensor" in make("watch", environ={"USER": "of-the-shell"}, USER="sensor")


def test_what_is_not_given_has_its_default_or_is_left_out(make):
    assert make("verify-backup") == ["-m", "cli.verify_backup", "--stack=dev", "--archive=latest"]
    assert make("down", DATA="delete", YES="1") == [
        *("-m", "cli.down", "--stack=dev", "--yes", "--delete-data")
    ]
    assert make("down", DATA="/srv/data") == ["-m", "cli.down", "--stack=dev"]
