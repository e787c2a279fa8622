"""Long steps report what they do, how far they are, and why they failed."""

import os
import signal
import sys
import time

import pytest

from bootstrap import progress

PYTHON = sys.executable


def test_a_step_prints_its_begin_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.step("Docker: installing"):
        assert capsys.readouterr().err == "==> Docker: installing\n"
        progress.note("first\nsecond")
    assert capsys.readouterr().err == "    first\n    second\n    done in 0.0 s\n"


def test_a_step_lasts_until_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    progress.step("one")
    progress.step("two")
    progress.print_timings()
    assert [text for text, _ in progress.timings()] == ["one", "two"]
    stderr = capsys.readouterr().err
    assert stderr.index("done in") < stderr.index("==> two")
    assert "total" in stderr


def test_a_failed_step_is_reported_as_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"), progress.step("one"):
        raise ValueError("boom")
    stderr = capsys.readouterr().err
    assert "failed in" in stderr
    assert "done" not in stderr


def test_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    progress.step("one")
    progress.run(["echo", "hello"], what="greeting")
    progress.print_timings()
    assert capsys.readouterr().out == ""


def test_run_returns_the_output_and_prints_none_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = progress.run(["sh", "-c", "echo out; echo err >&2"], what="both")
    assert sorted(output.split()) == ["err", "out"]
    assert capsys.readouterr().err == ""


def test_run_passes_input_folder_and_environment(tmp_path) -> None:
    output = progress.run(
        ["sh", "-c", "cat; pwd; echo $GREETING"],
        what="all",
        cwd=tmp_path,
        env={"GREETING": "hello", "PATH": "/usr/bin:/bin"},
        input="typed\n",
    )
    assert output == f"typed\n{tmp_path}\nhello\n"


def test_run_without_input_closes_stdin() -> None:
    assert progress.run(["cat"], what="nothing to read") == ""
    assert progress.run(["cat"], what="nothing to read", input="") == ""


def test_unread_input_is_not_an_error() -> None:
    assert progress.run(["true"], what="does not read", input="x" * 1_000_000) == ""


def test_run_writes_stdout_to_the_given_file(tmp_path) -> None:
    with (tmp_path / "out").open("wb") as stream:
        output = progress.run(["sh", "-c", "echo out; echo err >&2"], what="both", stdout=stream)
    assert output == "err\n"
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


def test_a_missing_program_is_named() -> None:
    with pytest.raises(progress.FailedError, match=r"^looking: no-such cannot be started: "):
        progress.run(["no-such"], what="looking")


def test_in_a_log_a_long_command_prints_its_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "IN_A_LOG", 0.2)
    progress.run(["sh", "-c", "echo compiling pulumi; sleep 0.7"], what="engine")
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4
    assert lines[0] == "    engine: 0 s · compiling pulumi"


def test_on_a_terminal_the_status_line_is_updated_and_then_erased(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ON_A_TERMINAL", 0.2)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress.run(["sh", "-c", "echo compiling; sleep 0.5"], what="engine")
    shown = capsys.readouterr().err
    assert "\n" not in shown
    assert shown.startswith("\r\x1b[K    engine: 0 s · compiling")
    assert shown.endswith("\r\x1b[K")


def test_run_does_not_wait_for_a_daemon_that_keeps_the_pipe_open() -> None:
    pid = progress.run(["sh", "-c", "sleep 600 & echo $!"], what="init")
    os.kill(int(pid), signal.SIGTERM)  # it still runs


def test_an_interrupted_run_ends_the_process(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "IN_A_LOG", 0.2)
    monkeypatch.setattr(progress._StatusPrinter, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        progress.run(["sh", "-c", f"sleep 1; touch {tmp_path}/late"], what="long")
    time.sleep(1.2)
    assert not (tmp_path / "late").exists()
