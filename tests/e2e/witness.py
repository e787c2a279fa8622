"""What any user of the machine can read of its processes: command lines and environments."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

EVERY = 0.01

MARK = f"marked-{secrets.token_hex(8)}"
PASSPHRASE = f"only for this test: {secrets.token_hex(8)}"
"""That of every site of this process: other processes of the tests may run at the same time."""
PULUMIS = {
    "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
    "PULUMI_ACCESS_TOKEN": MARK,
    "AWS_SECRET_ACCESS_KEY": MARK,
    "GOOGLE_CREDENTIALS": MARK,
    "SECRET_OF_SOMEBODY": MARK,
}
"""Secrets for the environment of `pulumi`."""

LAUNCHED = (b"/bin/sh\0-c\0exec env -i ", b"env\0-i\0")
"""How the command lines begin that clean the environment (broker/host/facts.py)."""


class Process(NamedTuple):
    """What one process was at one moment."""

    program: str
    """The file name of what it runs."""
    line: bytes
    environment: bytes

    def variables(self) -> dict[str, str]:
        pairs = (text.partition("=") for text in self.environment.decode().split("\0") if text)
        return {name: value for name, _, value in pairs}


class Witness:
    """Collects command lines and environments of all processes while it is watching."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.processes: set[Process] = set()
        self._stop = threading.Event()
        self._watch = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watch.set()
        self._thread.join()

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._watch.set()
        yield
        self._watch.clear()

    def holders(self, held: Mapping[str, str]) -> list[tuple[Process, set[str]]]:
        """
        Return the processes that had variables of *held*, with the names of those.

        Not `pulumi`, its plugins and Python, which are given them. Not the launcher either, for
        one that Pulumi does not know.
        """
        found = []
        for process in self.processes:
            if process.program.startswith(("pulumi", "python")):
                continue
            variables = process.variables()
            names = {name for name, value in held.items() if value in variables.get(name, "")}
            if process.line.startswith(LAUNCHED):
                names.discard("SECRET_OF_SOMEBODY")
            if names:
                found.append((process, names))
        return found

    def _look(self) -> None:
        while not self._stop.is_set():
            self._watch.wait()
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    self._read(process)
            self._stop.wait(EVERY)

    def _read(self, process: Path) -> None:
        try:
            # Between fork and exec a process still is what its parent is; so is what was read.
            before = _what(process)
            environment = (process / "environ").read_bytes()
            after = _what(process)
        except OSError:
            return  # it ended meanwhile
        self.seen |= {before[1], environment, after[1]} - {b""}
        if before == after:
            self.processes.add(Process(before[0].name, before[1], environment))


def _what(process: Path) -> tuple[Path, bytes]:
    return (process / "exe").readlink(), (process / "cmdline").read_bytes()
