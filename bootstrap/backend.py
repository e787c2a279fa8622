"""Where a stack's state is kept, and the passphrase that its secrets are encrypted with."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from bootstrap import folders

# Everybody else's state is somebody's to keep: only this stack may get one made up here.
DISPOSABLE = "dev"


class NoBackend(Exception):
    """The stack has no state backend or passphrase, and none may be made up for it."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A state backend: the user's own, or one on this machine."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """To be added to the environment of ``pulumi``; paths, never a passphrase."""

    ours: bool = False
    """The passphrase was made up here, so nobody shares it."""

    origin: str = "your own state backend"


def ensure_backend(stack: str, environ: Mapping[str, str], secrets_provider: str = "") -> Backend:
    """
    Return the backend of *stack*: the user's where one is configured, else, for dev, our own.

    *secrets_provider* is the stack file's ``secretsprovider:``; a cloud's keys need no phrase.

    Raises:
        NoBackend: the stack is not dev, and something is missing.

    """
    own = _configured(environ)
    # An empty passphrase counts: Pulumi takes it, and whoever set it meant it.
    phrase = "PULUMI_CONFIG_PASSPHRASE" in environ or "PULUMI_CONFIG_PASSPHRASE_FILE" in environ
    keyed = secrets_provider not in ("", "passphrase", "default")
    if own and (phrase or keyed or not _needs_passphrase(own)):
        return Backend()
    if stack != DISPOSABLE:
        missing = (
            "no passphrase is set. Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it"
            if own
            else "no state backend is configured. Log in to yours (pulumi login s3://..., "
            "pulumi login file:///...), or set PULUMI_BACKEND_URL"
        )
        raise NoBackend(
            f"--stack {stack}: {missing}. Only the stack 'dev' gets one made up on this machine: "
            "whoever loses it loses every password."
        )
    folder = folders.state(environ)
    made: dict[str, str] = {}
    if not own:
        state = folder / "pulumi"
        state.mkdir(exist_ok=True)
        made["PULUMI_BACKEND_URL"] = state.as_uri()
    if not phrase:
        made["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(folder))
    return Backend(environment=made, ours=not phrase, origin=f"state on this machine, in {folder}")


def state_folder(stack: str, environ: Mapping[str, str]) -> Path | None:
    """
    Return the folder that holds the state of *stack*; nothing is made, and it may not be there.

    None where the state is somewhere else, such as in a bucket, or nobody said where.
    """
    own = _configured(environ)
    if not own:
        return folders.state_place(environ) / "pulumi" if stack == DISPOSABLE else None
    if not own.startswith("file://"):
        return None
    # As Pulumi reads it: "~" is the home folder, and options may follow.
    path = own.removeprefix("file://").partition("?")[0]
    if path == "~" or path.startswith("~/"):
        return Path(environ.get("HOME") or Path.home(), path[1:].lstrip("/"))
    return Path(__file__).resolve().parent.parent / unquote(path)


def _configured(environ: Mapping[str, str]) -> str:
    """Return the URL of the user's backend: the environment's, else that of `pulumi login`."""
    if url := environ.get("PULUMI_BACKEND_URL"):
        return url
    home = environ.get("PULUMI_CREDENTIALS_PATH") or environ.get("PULUMI_HOME")
    folder = Path(home) if home else Path(environ.get("HOME", str(Path.home()))) / ".pulumi"
    try:
        credentials = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(credentials.get("current") or "")


def _needs_passphrase(url: str) -> bool:
    """Pulumi's own service keeps keys; a bucket or folder does not."""
    return not url.startswith(("https://", "http://"))


def _passphrase(folder: Path) -> Path:
    file = folder / "passphrase"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file
    with os.fdopen(handle, "w", encoding="utf-8") as text:
        text.write(secrets.token_urlsafe(32) + "\n")
    return file
