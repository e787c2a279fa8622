"""The attacked scripts of host/, and their preparation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.attacks.stack import BROKER, Stack

NAMES = (
    *("env file in the application's folder", "env file in a folder of root's", "files, apply"),
    *("certificates", "folders", "textfile", "sightings", "check", "sign", "logrotate"),
    *("schedule", "logrotate -f", "erase", "backup", "drill", "guard", "ready", "restart"),
    "restore",
)


@dataclass(frozen=True, kw_only=True)
class Script:
    """A script with its calls, as the program runs it."""

    name: str
    command: Callable[[Stack], dict[str, Any]]
    prepare: Callable[[Stack], None] = lambda _stack: None
    done: Callable[[Stack], None] = lambda _stack: None
    """Called after the script succeeded."""


def scripts(stack: Stack) -> list[Script]:
    """Return the scripts in the order of their dependencies."""
    plain = ("folders", "textfile", "sightings", "check", "sign", "logrotate", "schedule")
    of_application = [path for path in stack.rendered["commands"]["env files"] if "/app/" in path]
    of_root = [path for path in stack.rendered["commands"]["env files"] if "/app/" not in path]
    return [
        *(_env_file("env file in the application's folder", path) for path in of_application),
        *(_env_file("env file in a folder of root's", path) for path in of_root),
        _alternating("files, apply", "files"),
        _alternating("certificates", "certificates"),
        *(_plain(name) for name in plain),
        Script(name="logrotate -f", command=_logrotate, prepare=_log_lines),
        Script(name="erase", command=lambda stack: stack.command("erase"), prepare=_to_erase),
        _plain("backup"),
        Script(name="drill", command=lambda stack: stack.command("drill"), prepare=_with_archive),
        _plain("guard"),
        Script(
            name="ready",
            command=lambda stack: stack.command("ready"),
            prepare=lambda stack: stack.do("guard"),
        ),
        _plain("restart"),
        Script(
            name="restore", command=lambda stack: stack.command("restore"), prepare=_with_archive
        ),
    ]


def _plain(name: str) -> Script:
    return Script(name=name, command=lambda stack: stack.command(name))


def _env_file(name: str, path: str) -> Script:
    def command(stack: Stack) -> dict[str, Any]:
        rendered: dict[str, Any] = stack.rendered["commands"]["env files"][path]
        return rendered

    return Script(name=name, command=command)


def _alternating(name: str, verb: str) -> Script:
    """Return a script that alternates between two texts, because it skips unchanged files."""

    def command(stack: Stack) -> dict[str, Any]:
        return stack.command(f"{verb} {3 - stack.variants[verb]}")

    def done(stack: Stack) -> None:
        stack.variants[verb] = 3 - stack.variants[verb]

    return Script(name=name, command=command, done=done)


def _with_archive(stack: Stack) -> None:
    if not list((stack.base / "backups").glob("*.tar.gz")):
        stack.do("backup")


def _logrotate(stack: Stack) -> dict[str, Any]:
    state = str(stack.base / "logrotate.state")
    return {
        "argv": ["logrotate", "--force", "--state", state, stack.rendered["logrotate"]],
        "stdin": "",
    }


def _log_lines(stack: Stack) -> None:
    """Write lines to the log, because logrotate skips an empty one."""
    if not Path(stack.rendered["logrotate"]).exists():
        stack.do("logrotate")
    stack.publish("attack/logged")


def _to_erase(stack: Stack) -> None:
    """Create folders of a removed broker, which no container mounts."""
    for name in ("data", "log"):
        folder = stack.base / "erased" / name
        if folder.is_symlink() or folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o750)
        (folder / "inner").mkdir(mode=0o750)
        for path in (folder / "mosquitto.db", folder / "inner" / "more"):
            path.write_text("written by the broker\n", encoding="utf-8")
            os.chown(path, BROKER, BROKER)
        os.chown(folder / "inner", BROKER, BROKER)
        os.chown(folder, BROKER, BROKER)
    (stack.base / "erased").chmod(0o755)
