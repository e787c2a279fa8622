"""Output is plain text in a pipe, a table on a terminal, JSON with --json."""

import json
import sys
import time

import pytest

import cli.terminal

WRITES = ("who-can", "write", "paragon/a/sensors/b")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(cli.terminal, "on_terminal", lambda: True)


def test_the_output_in_a_pipe_is_text(desk, capsys):
    desk.run(*WRITES)
    out = capsys.readouterr().out
    assert out.startswith("sensor  'topic write paragon/+/sensors/#'")
    assert len(out.splitlines()) == 1


def test_the_output_on_a_terminal_is_a_table(desk, capsys, terminal):
    desk.run(*WRITES)
    out = capsys.readouterr().out
    assert "by the rule" in out
    assert "sensor" in out


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (WRITES, "sensor"),
        (("explain", "sensor", "paragon/a/sensors/b"), "said"),
        (("version",), "brokerctl"),
    ],
)
def test_json_is_the_same_on_a_terminal(desk, capsys, terminal, words, key):
    desk.run(*words, "--json")
    assert key in json.loads(capsys.readouterr().out)


def test_no_user_is_a_result(desk, capsys, terminal):
    desk.run("who-can", "write", "elsewhere")
    assert capsys.readouterr().out == "Nobody may write elsewhere.\n"
    desk.run("who-can", "write", "elsewhere", "--json")
    assert json.loads(capsys.readouterr().out) == {}


def test_control_characters_in_a_cell_are_escaped(capsys):
    cli.terminal.print_table(("id",), [("\x1b[2Jdevice[red]",)])
    out = capsys.readouterr().out
    assert "\\x1b[2Jdevice[red]" in out
    assert "\x1b[2J" not in out


def test_a_long_path_is_shown_in_full(capsys):
    path = "/srv/" + "x" * 300
    cli.terminal.print_table(("one", "other"), [(path, path)])
    out = capsys.readouterr().out
    assert out.count("x") == 600
    assert "…" not in out


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_what_the_command_waits_for(monkeypatch, capsys, terminal):
    monkeypatch.setattr(cli.terminal, "PATIENCE", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with cli.terminal.waiting("reading the log"):
        time.sleep(0.2)
    err = capsys.readouterr().err
    assert ("reading the log: 0 s" in err) == terminal
    # The line is cleared at the end.
    assert err.endswith("\r\x1b[K") == terminal
