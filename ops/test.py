"""`make test`: what can be wrong has been looked for, and where the time went is said."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ops.command import finish
from ops.stack import ROOT, Refusal
from setup import apt, progress
from setup.daemon import ensure_daemon
from setup.engine import ensure_engine
from setup.image import RECIPES, stand_in

# What the tests use beside the program's own needs: a real sshd, a non-root login, packets, and
# what attacks the scripts: system calls traced, an attacker compiled; awks.
PACKAGES = {
    "/usr/sbin/sshd": "openssh-server",
    "/usr/bin/sudo": "sudo",
    "/usr/bin/mosquitto_sub": "mosquitto-clients",
    "/usr/bin/strace": "strace",
    "/usr/bin/cc": "gcc",
    "/usr/include/stdio.h": "libc6-dev",
    # How systemd reads an env file; the name of the file has its release in it.
    "/usr/lib/*/systemd/libsystemd-shared-*.so": "libsystemd-shared",
    "/usr/bin/busybox": "busybox",
    "/usr/bin/mawk": "mawk",
}

STAGES = {
    "unit": ["tests", "--ignore=tests/engine", "--ignore=tests/accepted", "--ignore=tests/e2e"],
    "engine": ["tests/engine"],
    "accepted by Mosquitto 2.0 and 2.1": ["tests/accepted"],
    "e2e": ["tests/e2e"],
}


def main() -> None:
    """Get the machine ready, run every stage, and fail if one of them did."""
    parser = argparse.ArgumentParser(description="Run every test.")
    parser.add_argument("--no-set-up", action="store_true", help="everything is there already")
    given = parser.parse_args()
    if not given.no_set_up:
        _set_up()
    failed = [name for name, argv in _checks().items() if not _passes(name, argv)]
    progress.where_the_time_went()
    if failed:
        raise Refusal(f"failed: {', '.join(failed)}; what they said is above.")


def _set_up() -> None:
    if not apt.can_install():
        raise Refusal(
            "the tests start a real sshd, make a login and mount small disks: they need root on "
            "Debian or Ubuntu. Run them in a container or a virtual machine of your own."
        )
    missing = [name for pattern, name in PACKAGES.items() if not any(Path("/").glob(pattern[1:]))]
    if missing:
        with progress.step(f"tests: installing Debian's {', '.join(missing)}"):
            apt.install(missing, what="tests")
    daemon = ensure_daemon()
    for recipe in RECIPES:
        for suite in recipe.expected:
            stand_in(suite, daemon, recipe)
    ensure_engine()


def _checks() -> dict[str, list[str]]:
    """Return the argv of each check, by name, the quick ones first."""
    tools = Path(sys.executable).parent
    return {
        "ruff": [str(tools / "ruff"), "check", "."],
        "ruff format": [str(tools / "ruff"), "format", "--check", "."],
        "mypy": [str(tools / "mypy")],
        "go test": ["go", "-C", str(ROOT / "engine" / "command"), "test", "./..."],
        **{
            name: [sys.executable, "-m", "pytest", "-q", "--durations=5", *where]
            for name, where in STAGES.items()
        },
    }


def _passes(name: str, argv: list[str]) -> bool:
    with progress.step(f"test: {name}") as step:
        sys.stdout.flush()
        code = subprocess.run(argv, cwd=ROOT, check=False).returncode
        if code:
            step.end(f"FAILED (exit {code})")
    return code == 0


if __name__ == "__main__":
    finish(main)
