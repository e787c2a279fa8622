"""The `pulumi` command, run for one stack with its engine, its state and this checkout's Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from bootstrap.pulumi_backend import Backend, ensure_backend
from bootstrap.pulumi_engine import Engine, ensure_engine
from broker.host.transport import without_proxy_on_loopback
from broker.settings.stack_settings import PROJECT
from cli.deployment_state import has_state
from cli.errors import CommandError
from cli.stack import ROOT, Stack
from cli.terminal import waiting


@dataclass(frozen=True, kw_only=True)
class Pulumi:
    """What a call of `pulumi` needs."""

    stack: Stack
    engine: Engine
    backend: Backend

    @classmethod
    def ready(cls, stack: Stack) -> Pulumi:
        """Return one that is ready to run; the engine is built first where it has to be."""
        return cls(
            stack=stack,
            # Before the engine, which may have to be built.
            backend=ensure_backend(stack.name, os.environ, stack.secrets_provider),
            engine=ensure_engine(),
        )

    @property
    def additions(self) -> Mapping[str, str]:
        """What the environment needs beside what is in it."""
        # The language host of the built engine takes the first Python on PATH.
        first = [str(folder) for folder in (Path(sys.executable).parent, *self.engine.bin)]
        return {
            **self.engine.environment,
            **self.backend.environment,
            **without_proxy_on_loopback(os.environ),
            "PATH": os.pathsep.join([*first, os.environ.get("PATH", "")]),
        }

    @property
    def environ(self) -> dict[str, str]:
        """The environment of ``pulumi``."""
        return {**os.environ, **self.additions}

    def run(self, *words: str, check: bool = True) -> int:
        """Run ``pulumi`` with *words* in front of the person, and return its exit code."""
        with self._file_as_it_was():
            code = subprocess.run(
                self._argv(words), cwd=ROOT, env=self.environ, check=False
            ).returncode
        if check and code:
            raise CommandError(f"pulumi {words[0]} failed; its message is above.")
        return code

    def ask(self, *words: str, stdin: str | None = None) -> str:
        """Run ``pulumi`` with *words*, and *stdin* for it to read, and return what it prints."""
        with self._file_as_it_was(), waiting(f"pulumi {words[0]}"):
            done = subprocess.run(
                self._argv(words),
                cwd=ROOT,
                env=self.environ,
                input=stdin,
                capture_output=True,
                text=True,
                # Messages of the host are among what it says on stderr.
                errors="replace",
                check=False,
            )
        if done.returncode:
            raise CommandError(f"pulumi {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, secrets in clear; none where it was never up."""
        words = ("stack", "output", "--stack", self.stack.name, "--json", "--show-secrets")
        outputs: dict[str, Any] = json.loads(self.ask(*words))
        return outputs

    def select(self) -> None:
        """Make the stack where the backend doesn't have it yet, and make it the current one."""
        if not self._is_selected():
            self.ask("stack", "select", "--create", self.stack.name)

    def _is_selected(self) -> bool:
        """Tell whether nothing is left for `pulumi stack select`, which takes half a second."""
        environ = self.environ
        home = environ.get("PULUMI_HOME") or Path(environ.get("HOME") or Path.home(), ".pulumi")
        digest = sha1(str(ROOT / "Pulumi.yaml").encode()).hexdigest()  # noqa: S324 (Pulumi's own)
        file = Path(home, "workspaces", f"{PROJECT}-{digest}-workspace.json")
        try:
            stacks = json.loads(file.read_text(encoding="utf-8"))["stacks"]
            current = str(stacks[environ["PULUMI_BACKEND_URL"]])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return current.rpartition("/")[2] == self.stack.name and has_state(self.stack, environ)

    def _argv(self, words: Sequence[str]) -> list[str]:
        return ["pulumi", "--non-interactive", *words] if not _terminal() else ["pulumi", *words]

    @contextmanager
    def _file_as_it_was(self) -> Iterator[None]:
        """
        Keep the salt of a passphrase that this machine made up out of the stack file.

        Pulumi writes it there, for a team that shares one passphrase. Nobody shares this one,
        and the state has the salt too.
        """
        file = self.stack.file
        strip = self.backend.local_passphrase and "encryptionsalt" not in file.read_text(
            encoding="utf-8"
        )
        try:
            yield
        finally:
            if strip:
                text = file.read_text(encoding="utf-8")
                kept = [
                    line
                    for line in text.splitlines(keepends=True)
                    if not line.startswith("encryptionsalt:")
                ]
                if "secure:" not in text and "".join(kept) != text:
                    file.write_text("".join(kept), encoding="utf-8")


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
