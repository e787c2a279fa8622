"""A host of the test's own: scripts run for real, as root; its Docker says what a test wants."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from host_scripts import host_scripts

from broker.delivery import Call, deliver

SOCKET = "unix:///test.sock"


class Host:
    """Runs scripts of ``host/`` with a ``docker`` that writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file = folder / "calls"
        self.docker("exit 0")

    def program(self, name: str, body: str) -> None:
        (self.bin / name).write_text(
            f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\n{body}\n', encoding="utf-8"
        )
        (self.bin / name).chmod(0o755)

    def docker(self, body: str) -> None:
        """*body* is sh; ``$*`` begins with ``-H unix:///test.sock``."""
        self.program("docker", body)

    def calls(self, word: str = "") -> list[str]:
        """How the programs were called, in order; with *word*, those that hold it."""
        if not self.calls_file.exists():
            return []
        return [line for line in self.calls_file.read_text().splitlines() if word in line]

    def run(
        self, scripts: str, *calls: Call, action: str = "apply"
    ) -> subprocess.CompletedProcess[str]:
        text = host_scripts(*scripts.split())
        return subprocess.run(
            ["/bin/sh", "-s", action],
            input=deliver(text, calls),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"},
        )


def call(*words: object, text: str | None = None) -> Call:
    return Call(words=tuple(str(each) for each in words), text=text)


def all_files(folder: Path) -> dict[str, str]:
    """The text of each file below *folder*, by its path there."""
    return {
        str(each.relative_to(folder)): each.read_text()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


def mode(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return f"{found.st_mode & 0o7777:04o}", found.st_uid, found.st_gid
