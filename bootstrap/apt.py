"""Install Debian packages, or unpack them without installing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bootstrap import folders, progress
from broker.host.transport import PROXIES, host_environment

DEBIAN = Path("/etc/debian_version")

# Wait for the lock: a fresh machine may still run its own upgrades. Do not wait for a mirror: one
# of the configured ones may be unreachable.
OPTIONS = (
    "-o=DPkg::Lock::Timeout=300",
    "-o=Acquire::Retries=1",
    "-o=Acquire::http::Timeout=20",
    "-o=Acquire::https::Timeout=20",
)


def can_install() -> bool:
    """Return whether this is a Debian-based system and the process runs as root."""
    return DEBIAN.exists() and os.geteuid() == 0


def install(packages: Sequence[str], *, what: str) -> None:
    """Install *packages* after updating the lists if possible; *what* prefixes the status lines."""
    # A package's scripts may start its service, which keeps the environment of this process.
    kept = host_environment(os.environ, *PROXIES, "APT_CONFIG")
    env = {**kept, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        progress.run(["apt-get", *OPTIONS, "update"], what=f"{what}: apt-get update", env=env)
    except progress.FailedError as error:
        progress.note(f"The package lists could not be updated. {error}")
    progress.run(
        ["apt-get", *OPTIONS, "install", "--yes", "--no-install-recommends", *packages],
        what=f"{what}: apt-get install {' '.join(packages)}",
        env=env,
    )


def unpack(packages: Sequence[str], *, what: str) -> Path:
    """
    Return a folder with the files of *packages*, for tests; nothing is installed or started.

    Dependencies are not unpacked.
    """
    folder = folders.cache() / "packages" / "+".join(packages)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes.
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _unpack_into(folder, packages, what=what)
    return folder


def _unpack_into(folder: Path, packages: Sequence[str], *, what: str) -> None:
    """Download *packages*, and create *folder* with their files."""
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    # By default apt downloads as the user _apt, who may not write to this folder.
    options = [*OPTIONS, "-o=APT::Sandbox::User=root"]
    run = partial(subprocess.run, cwd=unfinished, check=False, capture_output=True)
    if run(["apt-get", *options, "download", *packages]).returncode:
        progress.run(["apt-get", *OPTIONS, "update"], what=f"{what}: apt-get update")
        run(["apt-get", *options, "download", *packages], check=True)
    for package in unfinished.glob("*.deb"):
        run(["dpkg-deb", "--extract", package, unfinished], check=True)
        package.unlink()
    unfinished.rename(folder)
