"""Whether a stack is up. If its state is a folder on this machine, no engine is needed."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from pathlib import Path

from bootstrap.pulumi_backend import state_folder
from broker.settings.stack_settings import PROJECT
from cli.errors import NotPerformedError
from cli.stack import Stack


def require_up(stack: Stack) -> None:
    """
    Return if the state of *stack* has resources, or only an engine can read it.

    Raises:
        NotPerformedError: the stack was never up, or is down.

    """
    folder = state_folder(stack.name, os.environ)
    if folder is not None and not _has_resources(folder, stack.name):
        raise not_up_yet(stack.name)


def require_state(stack: Stack) -> None:
    """
    Return if *stack* has a state, even one without resources, or only an engine can read it.

    Raises:
        NotPerformedError: the stack was never up.

    """
    folder = state_folder(stack.name, os.environ)
    if folder is not None and _checkpoint(folder, stack.name) is None:
        raise not_up_yet(stack.name)


def has_state(stack: Stack, environ: Mapping[str, str]) -> bool:
    """Return whether a folder on this machine has a state of *stack*, even an empty one."""
    return checkpoint(stack, environ) is not None


def checkpoint(stack: Stack, environ: Mapping[str, str]) -> Path | None:
    """Return the file of the state of *stack*, if it is in a folder on this machine."""
    folder = state_folder(stack.name, environ)
    return None if folder is None else _checkpoint(folder, stack.name)


def not_up_yet(name: str, user: str = "") -> NotPerformedError:
    """Return the error for a stack that is not up, or a *user* that its last `up` lacked."""
    option = "" if name == "dev" else f" --stack {name}"
    subject = f"user {user!r} of stack {name!r}" if user else f"stack {name!r}"
    return NotPerformedError(f"{subject} is not up yet: run ./brokerctl up{option}")


def _checkpoint(folder: Path, name: str) -> Path | None:
    """Return the file of a stack's state; old backends have no folder per project."""
    stacks = folder / ".pulumi" / "stacks"
    files = (
        parent / f"{name}.json{suffix}"
        for parent in (stacks / PROJECT, stacks)
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
        # Pulumi will report what is wrong with the file.
        return True
