"""Output of commands: tables and colours on a terminal, plain text in a pipe, or JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any

PATIENCE = 2.0
"""Seconds until a terminal shows what a command waits for."""

COLOURS = {
    **dict.fromkeys(("pass", "held", "connected", "added"), "green"),
    **dict.fromkeys(("FAIL", "NOT HELD", "never"), "bold red"),
    **dict.fromkeys(("unknown", "not asked", "silent"), "yellow"),
}
"""By the whole text of a cell."""


def on_terminal() -> bool:
    return sys.stdout.isatty()


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def confirm(question: str) -> bool:
    """Return whether a person answers yes; without a terminal the answer is no."""
    try:
        return input(f"{question} (yes/no) ").strip() == "yes"
    except EOFError:
        return False


@contextmanager
def json_result(*, enabled: bool) -> Iterator[dict[str, Any]]:
    """
    Yield the result of a command for it to fill, and print it as JSON at the end if *enabled*.

    Until then, whatever this process and the processes that it starts print goes to stderr. A
    command that fails prints what it has filled in by then, if anything.
    """
    result: dict[str, Any] = {}
    if not enabled:
        yield result
        return
    try:
        with _stdout_to_stderr():
            yield result
    finally:
        if result:
            print_json(result)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect Python's stdout, and the file descriptor that child processes inherit."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def print_pairs(lines: Iterable[str]) -> None:
    """Print lines of the form ``subject: state`` as a table on a terminal."""
    print_table(("subject", "state"), [line.partition(": ")[::2] for line in lines])


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        # A path that is wider than its column continues on the next line.
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = [plain(str(cell)) for cell in row]
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
    Console().print(table)


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, unchanged in a pipe."""
    if not on_terminal():
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def plain(text: str) -> str:
    """Return *text* with control characters escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def waiting(subject: str) -> Iterator[None]:
    """
    Show on a terminal what the command waits for, and how long, after ``PATIENCE`` seconds.

    Prints nothing in a pipe or a log.
    """
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_show_waiting, args=(subject, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show_waiting(subject: str, ended: threading.Event) -> None:
    began, shown = time.monotonic(), False
    while not ended.wait(1.0 if shown else PATIENCE):
        shown = True
        seconds = time.monotonic() - began
        print(f"\r\x1b[K{subject}: {seconds:.0f} s", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
