"""A person who waits sees what is being done, how far it is, and why it failed."""

import os
import signal
import sys
import time

import pytest

from bootstrap import progress

PYTHON = sys.executable


def test_a_step_speaks_when_it_begins_and_when_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("Docker: installing"):
        assert capsys.readouterr().err == "==> Docker: installing\n"
        progress.note("first\nsecond")
    assert capsys.readouterr().err == "    first\n    second\n    done in 0.0 s\n"


def test_a_step_lasts_until_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    progress.step("one")
    progress.step("two")
    progress.where_the_time_went()
    assert [text for text, _ in progress.timings()] == ["one", "two"]
    spoken = capsys.readouterr().err
    assert spoken.index("done in") < spoken.index("==> two")
    assert "all of it" in spoken


def test_a_failed_step_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"), progress.step("one"):
        raise ValueError("boom")
    spoken = capsys.readouterr().err
    assert "failed in" in spoken
    assert "done" not in spoken


def test_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    progress.step("one")
    progress.run(["echo", "hello"], what="greeting")
    progress.where_the_time_went()
    assert capsys.readouterr().out == ""


def test_run_returns_what_was_said_and_shows_none_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = progress.run(["sh", "-c", "echo out; echo err >&2"], what="both")
    assert sorted(said.split()) == ["err", "out"]
    assert capsys.readouterr().err == ""


def test_run_passes_input_folder_and_environment(tmp_path) -> None:
    said = progress.run(
        ["sh", "-c", "cat; pwd; echo $GREETING"],
        what="all",
        cwd=tmp_path,
        env={"GREETING": "hello", "PATH": "/usr/bin:/bin"},
        input="typed\n",
    )
    assert said == f"typed\n{tmp_path}\nhello\n"


def test_run_without_input_gives_none() -> None:
    assert progress.run(["cat"], what="nothing to read") == ""
    assert progress.run(["cat"], what="nothing to read", input="") == ""


def test_input_that_nobody_reads_is_no_error() -> None:
    assert progress.run(["true"], what="deaf", input="x" * 1_000_000) == ""


def test_run_sends_stdout_where_it_is_told(tmp_path) -> None:
    with (tmp_path / "out").open("wb") as stream:
        said = progress.run(["sh", "-c", "echo out; echo err >&2"], what="both", stdout=stream)
    assert said == "err\n"
    assert (tmp_path / "out").read_text() == "out\n"


def test_a_failure_shows_its_last_thirty_lines_and_no_secret() -> None:
    script = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i; done; exit 7"
    with pytest.raises(progress.FailedError) as failure:
        progress.run(["sh", "-c", script, "s3cret-word"], what="counting", input="s3cret-typed")
    text = str(failure.value)
    assert text.startswith("counting: sh ended with status 7 after 0 s.")
    assert "line 71\n" in text
    assert "line 70\n" not in text
    assert text.endswith("line 100")
    assert "s3cret" not in text


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(progress.FailedError, match=r"^looking: no-such can't be started: "):
        progress.run(["no-such"], what="looking")


def test_in_a_log_a_long_command_shows_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "IN_A_LOG", 0.2)
    progress.run(["sh", "-c", "echo compiling pulumi; sleep 0.7"], what="engine")
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    assert lines[0] == "    engine: 0 s · compiling pulumi"


def test_on_a_terminal_one_line_changes_and_then_goes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ON_A_TERMINAL", 0.2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.run(["sh", "-c", "echo compiling; sleep 0.5"], what="engine")
    shown = capsys.readouterr().err
    assert "\n" not in shown
    assert shown.startswith("\r\x1b[K    engine: 0 s · compiling")
    assert shown.endswith("\r\x1b[K")


def test_a_daemon_that_keeps_the_pipe_open_keeps_nobody_waiting() -> None:
    said = progress.run(["sh", "-c", "sleep 600 & echo $!"], what="init")
    # It goes on: nobody has waited for it.
    os.kill(int(said), signal.SIGTERM)


def test_an_interrupted_run_leaves_no_process(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "IN_A_LOG", 0.2)
    monkeypatch.setattr(progress._Shower, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        progress.run(["sh", "-c", f"sleep 1; touch {tmp_path}/late"], what="long")
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()
