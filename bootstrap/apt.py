"""Debian's packages: after ``install`` the ones that were named are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bootstrap import folders, progress
from broker.host.transport import PROXIES, host_environment

DEBIAN = Path("/etc/debian_version")

# A fresh machine may still be busy with its own upgrades, and a mirror of somebody else's may be
# out of reach: wait for the one, not for the other.
OPTIONS = (
    "-o=DPkg::Lock::Timeout=300",
    "-o=Acquire::Retries=1",
    "-o=Acquire::http::Timeout=20",
    "-o=Acquire::https::Timeout=20",
)


def can_install() -> bool:
    """Whether this is Debian or a relative of it, and we are root."""
    return DEBIAN.exists() and os.geteuid() == 0


def install(packages: Sequence[str], *, what: str) -> None:
    """Install *packages* from the newest lists that can be had; *what* heads the status lines."""
    # A package's scripts may start its service, which keeps the environment that it was given.
    kept = host_environment(os.environ, *PROXIES, "APT_CONFIG")
    env = {**kept, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        progress.run(["apt-get", *OPTIONS, "update"], what=f"{what}: apt-get update", env=env)
    except progress.FailedError as error:
        progress.note(f"The package lists are as old as they were. {error}")
    progress.run(
        ["apt-get", *OPTIONS, "install", "--yes", "--no-install-recommends", *packages],
        what=f"{what}: apt-get install {' '.join(packages)}",
        env=env,
    )


def unpack(packages: Sequence[str], *, what: str) -> Path:
    """
    Return a folder with the files of *packages*, for a test to run; nothing is installed.

    A package that is installed may start its service. What these depend on is not unpacked.
    """
    folder = folders.cache() / "packages" / "+".join(packages)
    if folder.exists():
        return folder
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    # Debian's apt downloads as a user of its own, where that one may write.
    options = [*OPTIONS, "-o=APT::Sandbox::User=root"]
    run = partial(subprocess.run, cwd=unfinished, check=False, capture_output=True)
    if run(["apt-get", *options, "download", *packages]).returncode:
        progress.run(["apt-get", *OPTIONS, "update"], what=f"{what}: apt-get update")
        run(["apt-get", *options, "download", *packages], check=True)
    for each in unfinished.glob("*.deb"):
        run(["dpkg-deb", "--extract", each, unfinished], check=True)
        each.unlink()
    unfinished.rename(folder)
    return folder
