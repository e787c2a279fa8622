"""A host for tests: scripts run for real, as root, with a ``docker`` that a test writes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from host_scripts import host_scripts
from owner_containers import OWNER_CONTAINERS

from broker.host.script_calls import Record, ScriptCall, render_stdin

SOCKET = "unix:///test.sock"


class Host:
    """
    Runs scripts of ``host/`` with a ``docker`` that records its calls.

    A script of ``as_owner`` (host/lib/paths.sh) runs for real in the folder, as the folder's owner,
    and ``calls`` gets a line ``as_owner FOLDER ACCESS``. Likewise a script that
    ``docker exec --workdir`` runs in a folder of ``inside``.
    """

    def __init__(self, folder: Path, tools: Path | None = None) -> None:
        """*tools*: a folder with ``sh`` and all programs of the host; None: those of PATH."""
        self.folder = folder
        self.shell = tools / "sh" if tools else Path("/bin/sh")
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.path = f"{self.bin}{os.pathsep}{tools or os.environ['PATH']}"
        self.calls_file = folder / "calls"
        self.inside: dict[str, Path] = {}
        """Folders of this machine, by folder of the broker's container."""
        self.kill = "return 1"
        """sh: the body of ``kill`` in the broker's container."""
        self.docker("exit 0")

    def program(self, name: str, body: str, before: str = "") -> None:
        (self.bin / name).write_text(
            f'#!/bin/sh\n{before}\necho "{name} $*" >>"{self.calls_file}"\n{body}\n',
            encoding="utf-8",
        )
        (self.bin / name).chmod(0o755)

    def docker(self, body: str) -> None:
        """Set the sh of ``docker`` for other calls; ``$*`` begins with ``-H unix:///test.sock``."""
        self.program("docker", body, before=OWNER_CONTAINERS)

    def only(self, *names: str) -> None:
        """Leave only the programs *names* and those of the test on the host."""
        for name in names:
            (self.bin / name).symlink_to(str(shutil.which(name, path=self.path)))
        self.path = str(self.bin)

    def calls(self, word: str = "") -> list[str]:
        """Return the calls of the programs, in order; with *word*, those that contain it."""
        if not self.calls_file.exists():
            return []
        return [line for line in self.calls_file.read_text().splitlines() if word in line]

    def run(
        self,
        scripts: str,
        *calls: ScriptCall,
        action: str = "apply",
        record: Record | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return self.sh(render_stdin(host_scripts(*scripts.split()), calls, record), action)

    def sh(self, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run *text* in the host's shell, from stdin, with *words* as arguments."""
        return subprocess.run(
            [self.shell, "-s", *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={
                **os.environ,
                "PATH": self.path,
                "OWNER_CALLS": str(self.calls_file),
                "OWNER_INSIDE": "".join(f"{there} {here}\n" for there, here in self.inside.items()),
                "OWNER_KILL": self.kill,
            },
        )


def call(*words: object, text: str | None = None) -> ScriptCall:
    return ScriptCall(words=tuple(map(str, words)), text=text)


def all_files(folder: Path) -> dict[str, str]:
    """Return the text of every file below *folder*, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def mode(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return f"{found.st_mode & 0o7777:04o}", found.st_uid, found.st_gid
