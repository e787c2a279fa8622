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

SUFFIXES = ("", ".gz", ".zst")
"""What Pulumi appends to the name of a state, by its compression."""

SMALLEST_BYTES = 1000
"""
A state that zstd compressed has resources above this size.

Python can't read it. Measured (tests/engine/test_compressed_state.py): a state without resources
has 300 bytes, and that of the stack file Pulumi.dev.yaml more than 100,000.
"""


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
    if folder is not None and state_file(folder, stack.name) is None:
        raise not_up_yet(stack.name)


def has_state(stack: Stack, environ: Mapping[str, str]) -> bool:
    """Return whether a folder on this machine has a state of *stack*, even an empty one."""
    return checkpoint(stack, environ) is not None


def checkpoint(stack: Stack, environ: Mapping[str, str]) -> Path | None:
    """Return the file of the state of *stack*, if it is in a folder on this machine."""
    folder = state_folder(stack.name, environ)
    return None if folder is None else state_file(folder, stack.name)


def state_file(folder: Path, name: str) -> Path | None:
    """
    Return the file of a stack's state; old backends have no folder per project.

    Of two that differ in compression, Pulumi reads the newer one.
    """
    stacks = folder / ".pulumi" / "stacks"
    for parent in (stacks / PROJECT, stacks):
        files = [parent / f"{name}.json{suffix}" for suffix in SUFFIXES]
        if found := [file for file in reversed(files) if file.is_file()]:
            return max(found, key=lambda file: file.stat().st_mtime_ns)
    return None


def not_up_yet(name: str, user: str = "") -> NotPerformedError:
    """Return the error for a stack that is not up, or a *user* that its last `up` lacked."""
    option = "" if name == "dev" else f" --stack {name}"
    subject = f"user {user!r} of stack {name!r}" if user else f"stack {name!r}"
    return NotPerformedError(f"{subject} is not up yet: run ./brokerctl up{option}")


def has_pending_operations(stack: Stack, environ: Mapping[str, str]) -> bool:
    """Return whether a killed run may have left operations in a state on this machine."""
    folder = state_folder(stack.name, environ)
    return folder is not None and _has(folder, stack.name, "pending_operations")


def _has_resources(folder: Path, name: str) -> bool:
    return _has(folder, name, "resources")


def _has(folder: Path, name: str, what: str) -> bool:
    """Return whether the state of a stack has *what*; if the file is unreadable, it may have."""
    file = state_file(folder, name)
    if file is None:
        return False
    try:
        content = file.read_bytes()
        if file.suffix == ".zst":
            return len(content) > SMALLEST_BYTES
        content = gzip.decompress(content) if file.suffix == ".gz" else content
        return bool((json.loads(content)["checkpoint"].get("latest") or {}).get(what))
    except (OSError, ValueError, KeyError, AttributeError):
        # Pulumi will report what is wrong with the file.
        return True
