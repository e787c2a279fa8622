"""What any user of the machine can read of its processes: command lines and environments."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

INTERVAL = 0.01
"""Seconds between two reads of /proc."""

MARK = f"marked-{secrets.token_hex(8)}"
PASSPHRASE = f"only for this test: {secrets.token_hex(8)}"
"""The passphrase of every site in this process; other test processes have others."""
SECRET_VARIABLES = {
    "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
    "PULUMI_ACCESS_TOKEN": MARK,
    "AWS_SECRET_ACCESS_KEY": MARK,
    "GOOGLE_CREDENTIALS": MARK,
    "SECRET_OF_SOMEBODY": MARK,
}
"""Secrets for the environment of `pulumi`."""

LAUNCHERS = (b"/bin/sh\0-c\0exec env -i ", b"env\0-i\0")
"""First words of the command lines that clear the environment (broker/host/facts.py)."""


class Process(NamedTuple):
    """One process at one moment."""

    program: str
    """The file name of its executable."""
    command_line: bytes
    environment: bytes

    def variables(self) -> dict[str, str]:
        assignments = (
            text.partition("=") for text in self.environment.decode().split("\0") if text
        )
        return {name: value for name, _, value in assignments}


class ProcessWatcher:
    """Records command lines and environments of all processes while it is watching."""

    def __init__(self) -> None:
        self.texts: set[bytes] = set()
        """Every command line and every environment that was read."""
        self.processes: set[Process] = set()
        self._stop = threading.Event()
        self._watch = threading.Event()
        self._thread = threading.Thread(target=self._read_all, daemon=True)

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

    def holders(self, secret_variables: Mapping[str, str]) -> list[tuple[Process, set[str]]]:
        """
        Return the processes with *secret_variables* in their environment, and the variables' names.

        `pulumi`, its plugins and Python are left out, because they get the variables. The launcher
        may have a variable that Pulumi does not know.
        """
        found = []
        for process in self.processes:
            if process.program.startswith(("pulumi", "python")):
                continue
            variables = process.variables()
            names = {
                name for name, value in secret_variables.items() if value in variables.get(name, "")
            }
            if process.command_line.startswith(LAUNCHERS):
                names.discard("SECRET_OF_SOMEBODY")
            if names:
                found.append((process, names))
        return found

    def _read_all(self) -> None:
        while not self._stop.is_set():
            self._watch.wait()
            for folder in Path("/proc").iterdir():
                if folder.name.isdecimal():
                    self._read(folder)
            self._stop.wait(INTERVAL)

    def _read(self, folder: Path) -> None:
        try:
            # Between fork and exec a process has its parent's executable and environment: the
            # executable and command line are read before and after the environment.
            before = _executable_and_command_line(folder)
            environment = (folder / "environ").read_bytes()
            after = _executable_and_command_line(folder)
        except OSError:
            return  # the process has ended
        self.texts |= {before[1], environment, after[1]} - {b""}
        if before == after:
            self.processes.add(Process(before[0].name, before[1], environment))


def _executable_and_command_line(folder: Path) -> tuple[Path, bytes]:
    return (folder / "exe").readlink(), (folder / "cmdline").read_bytes()
