"""Properties of every command: help, options, exit codes, start-up time."""

import json
import os
import resource
import shlex
import subprocess
import sys

import pytest
import typer
from declared import ROOT

import cli.app
import cli.pulumi
from cli.errors import NotPerformedError
from cli.exit_codes import finish

BROKERCTL = ROOT / "brokerctl"
LETTERS = "aexyz-"

TREE = typer.main.get_command(cli.app.app)


def commands(group=TREE, before=()):
    """Return every command by its words."""
    found = {}
    for name, command in group.commands.items():
        words = (*before, name)
        found |= commands(command, words) if hasattr(command, "commands") else {words: command}
    return found


COMMANDS = commands()
NAMES = [" ".join(words) for words in COMMANDS]

DESTRUCTIVE = {
    "down": ("--confirm", "test"),
    "rotate": ("sensor",),
    "backup restore": ("latest",),
    "up": (),
    "restart": (),
    "adopt": ("--from", "/nowhere", "--address", "127.0.0.1"),
    "publish": ("sensor", "paragon/x", "message"),
    "certificate": ("sensor",),
}
"""Commands that change or remove something, with their required arguments."""


def options(command):
    return [
        option
        for parameter in COMMANDS[tuple(command.split())].params
        for option in parameter.opts
        if option.startswith("--")
    ]


def misspelt(option):
    """Return every deletion, transposition, substitution and insertion of one letter."""
    found = set()
    for at in range(len(option)):
        found.add(option[:at] + option[at + 1 :])
        found |= {option[:at] + letter + option[at + 1 :] for letter in LETTERS}
        found.add(option[:at] + option[at + 1 : at + 2] + option[at] + option[at + 2 :])
    for at in range(len(option) + 1):
        found |= {option[:at] + letter + option[at:] for letter in LETTERS}
    return sorted(found - {option})


def is_refused_by_the_parser(command, words):
    """Whether *words* are a usage error, without the text that a person is shown."""
    try:
        COMMANDS[tuple(command.split())].make_context(command, list(words))
    except Exception as error:  # noqa: BLE001 (Typer exports no class of them)
        return getattr(error, "exit_code", None) == 2
    return False


@pytest.mark.parametrize("command", DESTRUCTIVE)
def test_a_misspelt_option_changes_nothing(desk, monkeypatch, command, capsys):
    """There are no abbreviations, and no option is one letter from another."""
    desk.write(backups={"folder": "/srv/backups"})
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("a program was run"))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("a question was asked"))
    before = desk.file.read_text()
    values = {"--stack": "test", "--confirm": "test", "--identity": "/dev/null", "--days": "9"}
    own = set(options(command))
    refused = 0
    for option in sorted(own):
        for typed in misspelt(option):
            assert typed not in own
            value = [values[option]] if option in values else []
            words = [*DESTRUCTIVE[command], typed, *value]
            if is_refused_by_the_parser(command, words):
                refused += 1
                continue
            # Such as -stack, which is -s with the value "tack".
            with pytest.raises((SystemExit, NotPerformedError)) as ended:
                cli.app.run([*command.split(), *words])
            code = ended.value.code if ended.type is SystemExit else ended.value.exit_code
            assert code == 2, typed
    # One of each option goes the whole way.
    for option in sorted(own):
        with pytest.raises(SystemExit) as ended:
            cli.app.run([*command.split(), *DESTRUCTIVE[command], f"{option}x"])
        assert ended.value.code == 2
    assert refused > 50
    assert desk.calls() == []
    assert desk.file.read_text() == before
    capsys.readouterr()


@pytest.mark.parametrize("command", NAMES)
def test_every_command_has_an_example(command):
    found = COMMANDS[tuple(command.split())]
    assert found.help
    # The examples of `password` and `env` are part of a longer line.
    assert f"./brokerctl {command}" in (found.epilog or "")


@pytest.mark.parametrize("command", NAMES)
def test_every_example_parses(command):

    for line in COMMANDS[tuple(command.split())].epilog.split("\n\n")[1:]:
        typed = line.removeprefix("$ ")
        if not typed.startswith("./brokerctl"):
            continue
        words = shlex.split(typed)[1 + len(command.split()) :]
        with COMMANDS[tuple(command.split())].make_context("x", words):
            pass


@pytest.mark.parametrize("command", NAMES)
def test_every_command_takes_a_stack_except_diff_and_version(command):
    assert ("--stack" in options(command)) == (command not in ("diff", "version"))


def test_no_two_options_of_a_command_differ_in_one_letter():
    for command in NAMES:
        known = set(options(command))
        for option in known:
            assert not known & set(misspelt(option))


def test_help_has_the_exit_codes_and_the_groups(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.app.run(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "Exit codes: 0" in out
    for panel in ("Lifecycle", "Users", "Access", "Observe", "Messages", "Backup", "Set up"):
        assert panel in out


NEEDS_UP = {
    "status": 2,
    "check": 2,
    "logs": 2,
    "restart": 2,
    "outputs": 2,
    "credentials sensor": 2,
    "password sensor": 2,
    "rotate sensor": 2,
    "expect": 2,
    "inventory": 2,
    "refused": 2,
    "firewall": 2,
    "watch sensor": 2,
    "publish sensor paragon/x": 2,
    "backup create": 2,
    "backup verify": 2,
    "backup restore latest": 2,
}
"""`down` asks the host first: a broker there may be another state's."""


@pytest.mark.parametrize("command", NEEDS_UP)
@pytest.mark.parametrize("state", ["none", "empty"])
def test_before_the_first_up_a_command_fails_without_an_engine(
    desk, monkeypatch, capsys, command, state
):
    desk.write(backups={"folder": "/srv/backups"})
    if state == "none":
        desk.state_file.unlink()
    else:
        desk.checkpoint()
    for name in ("ensure_engine", "ensure_backend"):
        monkeypatch.setattr(cli.pulumi, name, lambda *_: pytest.fail("an engine was requested"))
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("a program was run"))

    with pytest.raises(SystemExit) as ended:
        finish(lambda: desk.run(*command.split()))

    assert ended.value.code == NEEDS_UP[command]
    assert capsys.readouterr().err == (
        "error: stack 'test' is not up yet: run ./brokerctl up --stack test\n"
    )


class TestTheScript:
    """``./brokerctl`` itself, in a process of its own."""

    def run(self, *words, program=BROKERCTL, **more):
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, check=False, **more
        )
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        return done, seconds

    def test_from_another_folder_and_through_a_link(self, tmp_path):
        link = tmp_path / "first"
        link.symlink_to(BROKERCTL)
        (tmp_path / "second").symlink_to("first")
        # A module in the working directory is not imported.
        (tmp_path / "typer.py").write_text("raise SystemExit(7)\n")

        done, _ = self.run("who-can", "write", "a", program=tmp_path / "second", cwd=tmp_path)

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("admin ")

    def test_a_relative_folder_is_relative_to_the_caller(self, tmp_path):
        done, _ = self.run("map", "--out", "drawn", "--json", cwd=tmp_path)

        assert done.returncode == 0, done.stderr
        assert (tmp_path / "drawn" / "map.svg").exists()
        assert json.loads(done.stdout)[0] == "drawn/matrix.md"

    def test_a_command_without_an_engine_starts_quickly(self):
        """Measured in processor time, which depends little on other load of the machine."""
        least = min(self.run("who-can", "write", "a")[1] for _ in range(3))
        print(f"\nwho-can: {least:.2f} s of processor time")
        assert least < 0.8

    def test_before_the_first_up_it_fails_within_a_second(self, tmp_path):
        home = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        home.pop("PULUMI_BACKEND_URL", None)
        home.pop("PULUMI_HOME", None)

        done, seconds = self.run("check", env=home)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: stack 'dev' is not up yet: run ./brokerctl up\n"
        assert seconds < 1
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("words", [("upp",), ("up", "--yess"), ("who-can", "wrote", "a"), ()])
    def test_a_usage_error_exits_with_2(self, words):
        done, _ = self.run(*words)
        assert done.returncode == 2
        assert "Usage: brokerctl" in done.stderr + done.stdout

    def test_a_topic_is_taken_literally(self):
        done, _ = self.run("explain", "admin", "$SYS/#")
        assert "$SYS/#" in done.stdout


def test_commands_without_an_engine_load_none_of_it():
    code = (
        "import sys, cli.app\n"
        "try:\n    cli.app.run(['who-can', 'write', 'a'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'pulumi', 'docker', 'cryptography', 'passlib', 'rich', 'paho'} "
        "& {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
