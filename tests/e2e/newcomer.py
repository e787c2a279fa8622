"""A person with a clone, a home folder of their own, and the documentation."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from site_under_test import ROOT


class Newcomer:
    """Types command lines in a copy of the repository, with ports and folders of its own."""

    container = f"e2e-newcomer-{secrets.token_hex(4)}"

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.clone, self.home = folder / "clone", folder / "home"
        self.ports = ports
        self.clone.mkdir(parents=True)
        self.home.mkdir()
        self.typed: list[str] = []
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=True,
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (self.clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.clone / name)
        # The virtual environment has a mark of what is installed: nothing is installed again.
        (self.clone / ".venv").symlink_to(Path(sys.prefix))
        file = self.clone / "Pulumi.dev.yaml"
        text = file.read_text(encoding="utf-8")
        for old, new in (
            ("mosquitto-dev", self.container),
            ("/var/lib/sentient-mqtt/dev", str(folder / "site")),
            ("port: 1883", f"port: {ports[0]}"),
            ("port: 9001", f"port: {ports[1]}"),
        ):
            assert old in text
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
        git = ("git", "-C", str(self.clone), "-c", "user.name=n", "-c", "user.email=n@example.org")
        for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "clone")):
            subprocess.run([*git, *words], check=True)

    def types(self, line: str, *, fails: bool = False) -> str:
        """Run *line* in a shell and return stdout and stderr; with *fails* it must fail."""
        self.typed.append(line)
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.clone,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(Path.home()),
                "XDG_STATE_HOME": str(self.home / "state"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
        assert (done.returncode != 0) == fails, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def edit(self, old: str, new: str) -> None:
        """Replace the first *old* in Pulumi.dev.yaml by *new*."""
        file = self.clone / "Pulumi.dev.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
