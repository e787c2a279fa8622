"""Choose a stack's state backend and the passphrase that encrypts its secrets."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from bootstrap import folders

# The only stack for which a backend and a passphrase are created on this machine. Whoever loses
# the state of another stack loses all its passwords, so its owner must choose where it is stored.
DISPOSABLE = "dev"

COMPRESSION = ("GZIP", "ZSTD")
"""What Pulumi compresses a state with; it accepts at most one of them."""


class NoBackend(Exception):
    """The stack has no state backend or no passphrase, and none may be created for it."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A state backend: the one that the user configured, or one created on this machine."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables to add to the environment of ``pulumi``; paths, never a passphrase."""

    local_passphrase: bool = False
    """Whether the passphrase was created here, so that nobody else has it."""

    origin: str = "your own state backend"


def ensure_backend(stack: str, environ: Mapping[str, str], secrets_provider: str = "") -> Backend:
    """
    Return the backend of *stack*: the configured one, or for dev one on this machine.

    *secrets_provider* is the stack file's ``secretsprovider:``; a cloud key needs no passphrase.

    Raises:
        NoBackend: the stack is not dev, and a backend or a passphrase is missing.

    """
    url = _configured_url(environ)
    own = folders.state_path(environ)
    if stack == DISPOSABLE and environ.get("PULUMI_CONFIG_PASSPHRASE_FILE") == f"{own}/passphrase":
        # From `brokerctl env`: the passphrase that was created here.
        environ = {
            name: value
            for name, value in environ.items()
            if name != "PULUMI_CONFIG_PASSPHRASE_FILE"
        }
    # An empty passphrase counts, because Pulumi accepts it.
    passphrase = "PULUMI_CONFIG_PASSPHRASE" in environ or "PULUMI_CONFIG_PASSPHRASE_FILE" in environ
    cloud_key = secrets_provider not in ("", "passphrase", "default")
    if url and (passphrase or cloud_key or not _needs_passphrase(url)):
        return Backend()
    if stack != DISPOSABLE:
        missing = (
            "no passphrase is set. Set PULUMI_CONFIG_PASSPHRASE_FILE to a file that holds it"
            if url
            else "no state backend is configured. Log in to yours (pulumi login s3://..., "
            "pulumi login file:///...), or set PULUMI_BACKEND_URL"
        )
        raise NoBackend(
            f"--stack {stack}: {missing}. They are created automatically only for the stack "
            "'dev': whoever loses them loses every password."
        )
    folder = folders.state(environ)
    created: dict[str, str] = {}
    if not url:
        state = folder / "pulumi"
        state.mkdir(exist_ok=True)
        created["PULUMI_BACKEND_URL"] = state.as_uri()
        if not _names_compression(environ):
            # Pulumi writes the whole state after every resource. One that is not compressed yet is
            # read as before, and compressed by the next write.
            created["PULUMI_DIY_BACKEND_ZSTD"] = "true"
    if not passphrase:
        created["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase_file(folder))
    return Backend(
        environment=created,
        local_passphrase=not passphrase,
        origin=f"state on this machine, in {folder}",
    )


def state_folder(stack: str, environ: Mapping[str, str]) -> Path | None:
    """
    Return the folder of the state of *stack*; it is not created and may not exist.

    Return None if the state is not in a folder, such as in a bucket, or no backend is configured.
    """
    url = _configured_url(environ)
    if not url:
        return folders.state_path(environ) / "pulumi" if stack == DISPOSABLE else None
    if not url.startswith("file://"):
        return None
    # As Pulumi reads it: "~" is the home folder, and options may follow.
    path = url.removeprefix("file://").partition("?")[0]
    if path == "~" or path.startswith("~/"):
        return Path(environ.get("HOME") or Path.home(), path[1:].lstrip("/"))
    return Path(__file__).resolve().parent.parent / unquote(path)


def _configured_url(environ: Mapping[str, str]) -> str:
    """Return the backend URL from the environment, else from `pulumi login`, else ''."""
    if url := environ.get("PULUMI_BACKEND_URL"):
        return url
    home = environ.get("PULUMI_CREDENTIALS_PATH") or environ.get("PULUMI_HOME")
    folder = Path(home) if home else Path(environ.get("HOME", str(Path.home()))) / ".pulumi"
    try:
        credentials = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(credentials.get("current") or "")


def _names_compression(environ: Mapping[str, str]) -> bool:
    """Return whether the user decides how a state is compressed."""
    prefixes = ("PULUMI_DIY_BACKEND_", "PULUMI_SELF_MANAGED_STATE_")
    return any(environ.get(prefix + name) for prefix in prefixes for name in COMPRESSION)


def _needs_passphrase(url: str) -> bool:
    """Return whether *url* is a bucket or a folder; Pulumi's service stores keys itself."""
    return not url.startswith(("https://", "http://"))


def _passphrase_file(folder: Path) -> Path:
    """Return the passphrase file in *folder*; create it if it is missing."""
    file = folder / "passphrase"
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(secrets.token_urlsafe(32) + "\n")
    return file
