"""Plain text in a pipe, a table on a terminal, JSON where that is asked for."""

import json
import sys
import time

import pytest

import cli.terminal

WRITES = ("who-can", "write", "paragon/a/sensors/b")


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(cli.terminal, "on_terminal", lambda: True)


def test_in_a_pipe_it_is_text(desk, capsys):
    desk.run(*WRITES)
    said = capsys.readouterr().out
    assert said.startswith("sensor  'topic write paragon/+/sensors/#'")
    assert len(said.splitlines()) == 1


def test_on_a_terminal_it_is_a_table(desk, capsys, terminal):
    desk.run(*WRITES)
    said = capsys.readouterr().out
    assert "by the rule" in said
    assert "sensor" in said


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


def test_nobody_is_an_answer(desk, capsys, terminal):
    desk.run("who-can", "write", "elsewhere")
    assert capsys.readouterr().out == "Nobody may write elsewhere.\n"
    desk.run("who-can", "write", "elsewhere", "--json")
    assert json.loads(capsys.readouterr().out) == {}


def test_a_cell_steers_no_terminal(capsys):
    cli.terminal.print_table(("id",), [("\x1b[2Jdevice[red]",)])
    said = capsys.readouterr().out
    assert "\\x1b[2Jdevice[red]" in said
    assert "\x1b[2J" not in said


def test_no_part_of_a_long_path_is_left_out(capsys):
    path = "/srv/" + "x" * 300
    cli.terminal.print_table(("one", "other"), [(path, path)])
    said = capsys.readouterr().out
    assert said.count("x") == 600
    assert "…" not in said


@pytest.mark.parametrize("there", [True, False])
def test_who_waits_on_a_terminal_is_told_for_what(monkeypatch, capsys, there):
    monkeypatch.setattr(cli.terminal, "PATIENCE", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: there, raising=False)
    with cli.terminal.waiting("reading the log"):
        time.sleep(0.2)
    said = capsys.readouterr().err
    assert ("reading the log: 0 s" in said) == there
    # The line is gone when the answer comes.
    assert said.endswith("\r\x1b[K") == there
