"""Report long steps on stderr: what they do, how far they are, and how long they took."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

LAST_LINES = 30
ON_A_TERMINAL = 0.5
IN_A_LOG = 15.0

_timings: list[tuple[str, float]] = []
_open: list[Step] = []


class FailedError(RuntimeError):
    """A command failed; the message ends with the last lines of its output."""


class Step:
    """A long step: begins at construction; ends at the next step, at ``end`` or after ``with``."""

    def __init__(self, text: str) -> None:
        for previous in _open[:]:
            previous.end()
        self.text = text
        self._began = time.monotonic()
        self._ended = False
        _open.append(self)
        _print(f"==> {text}")

    def end(self, result: str = "done") -> None:
        """End the step and print how long it took; a second call does nothing."""
        if self._ended:
            return
        self._ended = True
        _open.remove(self)
        seconds = time.monotonic() - self._began
        _timings.append((self.text, seconds))
        _print(f"    {result} in {seconds:.1f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end("done" if error is None else "failed")


def step(text: str) -> Step:
    """
    Begin the step *text*. It lasts until the next one begins::

        progress.step("Docker: installing Debian's docker.io")
        with progress.step("Docker: starting the daemon"):
            ...
    """
    return Step(text)


def note(text: str) -> None:
    """Print *text* inside the step."""
    for line in text.splitlines():
        _print(f"    {line}")


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,  # noqa: A002  (subprocess.run's own word for it)
    stdin: IO[bytes] | int | None = None,
    stdout: IO[bytes] | int | None = None,
) -> str:
    """
    Run *argv* and return its output, stdout and stderr as one text.

    *what* prefixes the status lines. If *stdout* is given, stdout goes there and only stderr is
    returned. A command that fails raises :class:`FailedError` with its last lines. Neither *argv*
    nor *input* is printed, because they may contain a secret.
    """
    began = time.monotonic()
    last: deque[str] = deque(maxlen=LAST_LINES)
    output: list[str] = []
    try:
        process = subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE if input is not None else stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise FailedError(f"{what}: {Path(argv[0]).name} cannot be started: {error}.") from error
    readers = [
        threading.Thread(target=_read, args=(process, output, last), daemon=True),
        *([threading.Thread(target=_feed, args=(process, input), daemon=True)] if input else []),
    ]
    if input == "" and process.stdin is not None:
        process.stdin.close()
    for reader in readers:
        reader.start()
    try:
        with _status_line() as show:
            while True:
                try:
                    status = process.wait(timeout=_interval())
                    break
                except subprocess.TimeoutExpired:
                    show(what, time.monotonic() - began, last)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    # Do not wait without a limit: a daemon that the command started may keep the pipe open.
    for reader in readers:
        reader.join(timeout=2)
    if status != 0:
        lines = "\n".join(f"    {line}" for line in last) or "    (no output)"
        raise FailedError(
            f"{what}: {Path(argv[0]).name} ended with status {status} after "
            f"{time.monotonic() - began:.0f} s. Its last lines:\n{lines}"
        )
    return "".join(output)


def timings() -> tuple[tuple[str, float], ...]:
    """Return the name and the seconds of each step, in the order in which they ended."""
    return tuple(_timings)


def print_timings() -> None:
    """End the open step and print the duration of each step."""
    for step_ in _open[:]:
        step_.end()
    if not _timings:
        return
    width = max(len(text) for text, _ in _timings)
    _print("==> durations")
    for text, seconds in _timings:
        _print(f"    {text:<{width}}  {seconds:8.1f} s")
    _print(f"    {'total':<{width}}  {sum(seconds for _, seconds in _timings):8.1f} s")


def reset() -> None:
    """Forget all steps and their durations."""
    _timings.clear()
    _open.clear()


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interval() -> float:
    return ON_A_TERMINAL if sys.stderr.isatty() else IN_A_LOG


class _StatusPrinter:
    """Prints the status: on a terminal one line that changes, in a log one more line."""

    def __init__(self) -> None:
        self.shown = False

    def __call__(self, what: str, seconds: float, last: Sequence[str]) -> None:
        line = f"    {what}: {seconds:.0f} s"
        if last:
            line += f" · {last[-1].strip()}"
        line = line if len(line) <= 100 else f"{line[:97]}..."  # noqa: PLR2004
        if sys.stderr.isatty():
            self.shown = True
            print(f"\r\x1b[K{line[:78]}", end="", file=sys.stderr, flush=True)
        else:
            _print(line)


@contextmanager
def _status_line() -> Iterator[_StatusPrinter]:
    show = _StatusPrinter()
    try:
        yield show
    finally:
        if show.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _read(process: subprocess.Popen[str], output: list[str], last: deque[str]) -> None:
    stream = process.stdout if process.stdout is not None else process.stderr
    if stream is None:
        return
    for line in stream:
        output.append(line)
        if line.strip():
            last.append(line.rstrip())


def _feed(process: subprocess.Popen[str], text: str) -> None:
    if process.stdin is None:
        return
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        return  # the command ended without reading it; its exit code counts
