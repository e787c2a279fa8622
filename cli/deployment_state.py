"""Whether a stack is up; without an engine where its state is a folder on this machine."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path

from bootstrap.backend import state_folder
from broker.settings.stack_settings import PROJECT
from cli.errors import NotPerformedError
from cli.stack import Stack


def require_up(stack: Stack) -> None:
    """
    Pass a stack whose state has resources, or whose state only an engine could read.

    Raises:
        NotPerformedError: it was never up, or is down.

    """
    folder = state_folder(stack.name, os.environ)
    if folder is not None and not _has_resources(folder, stack.name):
        raise not_up_yet(stack.name)


def require_state(stack: Stack) -> None:
    """
    Pass a stack that has a state, be it one without resources.

    Raises:
        NotPerformedError: it was never up.

    """
    folder = state_folder(stack.name, os.environ)
    if folder is not None and _checkpoint(folder, stack.name) is None:
        raise not_up_yet(stack.name)


def has_state(stack: Stack, environ: Mapping[str, str]) -> bool:
    """Tell whether a folder on this machine holds a state of *stack*, be it an empty one."""
    folder = state_folder(stack.name, environ)
    return folder is not None and _checkpoint(folder, stack.name) is not None


def not_up_yet(name: str, user: str = "") -> NotPerformedError:
    """Return the refusal for a stack, or for a *user* that its last `up` did not have."""
    again = "" if name == "dev" else f" --stack {name}"
    what = f"user {user!r} of stack {name!r}" if user else f"stack {name!r}"
    return NotPerformedError(f"{what} is not up yet: run ./brokerctl up{again}")


def _checkpoint(folder: Path, name: str) -> Path | None:
    """Return the file of a stack's state; a folder of long ago has no project's name in it."""
    stacks = folder / ".pulumi" / "stacks"
    files = (
        place / f"{name}.json{suffix}"
        for place in (stacks / PROJECT, stacks)
        for suffix in ("", ".gz")
    )
    return next((file for file in files if file.is_file()), None)


def _has_resources(folder: Path, name: str) -> bool:
    file = _checkpoint(folder, name)
    if file is None:
        return False
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return bool((json.loads(content)["checkpoint"].get("latest") or {}).get("resources"))
    except (OSError, ValueError, KeyError, AttributeError):
        # Pulumi says what is wrong with it.
        return True
