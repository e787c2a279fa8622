"""How the long steps speak: what each does, how far it is, and how long it took."""

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
    """A command that ended badly; the message ends with what it said last."""


class Step:
    """One long step: begun when it is made, ended by the next one, by ``with``, or by ``end``."""

    def __init__(self, text: str) -> None:
        for before in _open[:]:
            before.end()
        self.text = text
        self._began = time.monotonic()
        self._ended = False
        _open.append(self)
        _say(f"==> {text}")

    def end(self, how: str = "done") -> None:
        """Say how long it took; a step ends once."""
        if self._ended:
            return
        self._ended = True
        _open.remove(self)
        seconds = time.monotonic() - self._began
        _timings.append((self.text, seconds))
        _say(f"    {how} in {seconds:.1f} s")

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
    Say that *text* begins now. The step lasts until the next one begins::

        progress.step("Docker: installing Debian's docker.io")
        with progress.step("Docker: starting the daemon"):
            ...
    """
    return Step(text)


def note(text: str) -> None:
    """Say one line inside the step."""
    for line in text.splitlines():
        _say(f"    {line}")


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
    Run *argv* to its end and return what it printed, stdout and stderr as one text.

    *what* stands before each line of status, so it says which of the step's parts this is. With
    *stdout* given, that is where stdout goes and stderr alone is returned. A command that fails
    raises :class:`FailedError` with its last lines; neither *argv* nor *input* is ever shown,
    since a secret may stand there.
    """
    began = time.monotonic()
    last: deque[str] = deque(maxlen=LAST_LINES)
    said: list[str] = []
    try:
        process = subprocess.Popen(
            [str(each) for each in argv],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.PIPE if input is not None else stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise FailedError(f"{what}: {Path(argv[0]).name} can't be started: {error}.") from error
    readers = [
        threading.Thread(target=_read, args=(process, said, last), daemon=True),
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
    # A daemon that the command left behind may hold the pipe open for ever: no need to wait for it.
    for reader in readers:
        reader.join(timeout=2)
    if status != 0:
        lines = "\n".join(f"    {line}" for line in last) or "    (it said nothing)"
        raise FailedError(
            f"{what}: {Path(argv[0]).name} ended with status {status} after "
            f"{time.monotonic() - began:.0f} s. Its last lines:\n{lines}"
        )
    return "".join(said)


def timings() -> tuple[tuple[str, float], ...]:
    """Return what each step took so far, in seconds, in the order in which they ended."""
    return tuple(_timings)


def where_the_time_went() -> None:
    """End the step that is still open, and say what each of them took."""
    for step_ in _open[:]:
        step_.end()
    if not _timings:
        return
    width = max(len(text) for text, _ in _timings)
    _say("==> where the time went")
    for text, seconds in _timings:
        _say(f"    {text:<{width}}  {seconds:8.1f} s")
    _say(f"    {'all of it':<{width}}  {sum(seconds for _, seconds in _timings):8.1f} s")


def forget() -> None:
    """Begin the account anew, as a second run in the same process does."""
    _timings.clear()
    _open.clear()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _interval() -> float:
    return ON_A_TERMINAL if sys.stderr.isatty() else IN_A_LOG


class _Shower:
    """Puts the status where it can be seen: one line that changes, or one more line in a log."""

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
            _say(line)


@contextmanager
def _status_line() -> Iterator[_Shower]:
    show = _Shower()
    try:
        yield show
    finally:
        if show.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _read(process: subprocess.Popen[str], said: list[str], last: deque[str]) -> None:
    stream = process.stdout if process.stdout is not None else process.stderr
    if stream is None:
        return
    for line in stream:
        said.append(line)
        if line.strip():
            last.append(line.rstrip())


def _feed(process: subprocess.Popen[str], text: str) -> None:
    if process.stdin is None:
        return
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        return  # it ended without reading: its status says how
