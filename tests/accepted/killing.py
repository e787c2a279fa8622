"""A script of ``host/`` that is killed with -9 before one of its steps, its children with it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

from host_scripts import host_scripts
from owner_containers import OWNER_CONTAINERS

from broker.host.facts import transport
from broker.host.script_calls import ScriptCall, render_stdin

ROOT = Path(__file__).resolve().parents[2]

SHIM = """#!/bin/sh
read -r n <"$COUNT"
n=$((n + 1))
echo "$n" >"$COUNT"
if [ "$n" -eq "$KILL_AT" ]; then kill -9 "-$GROUP"; fi
exec {real} "$@"
"""


def put_before(folder: Path, name: str, text: str = SHIM) -> None:
    """Put *text* before the real program of that *name*, for runs with *folder* as their shims."""
    shim = folder / name
    shim.write_text(text.format(real=shutil.which(name)))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)


def owners_here(folder: Path) -> None:
    """Run on this machine what a folder's owner does, so that its steps come to the shims, too."""
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\n{OWNER_CONTAINERS}\nexec {shutil.which("docker")} "$@"\n')
    docker.chmod(0o755)


def run(
    scripts: str, calls: Iterable[ScriptCall], host: str, shims: Path, *, kill_at: int
) -> tuple[int, int, str]:
    """Run *scripts* in a process group of their own; return exit code, steps, what they said."""
    count = shims / "count"
    count.write_text("0\n")
    text = host_scripts(*scripts.split())
    way = transport(host)
    process = subprocess.Popen(
        [*way.interpreter, f"GROUP=$$; export GROUP; {way.script('apply', become='nobody')}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={
            **os.environ,
            "PATH": f"{shims}:{os.environ['PATH']}",
            "COUNT": str(count),
            "KILL_AT": str(kill_at),
            # A shim counts in a file of root's, and ends processes of root's.
            "OWNER_CAPS": "+kill,+dac_override",
        },
    )
    said, _ = process.communicate(render_stdin(text, calls).encode(), timeout=600)
    steps, code = int(count.read_text()), process.returncode
    # A kill that does not work would let every test of it pass.
    assert (code == -signal.SIGKILL) == (0 < kill_at <= steps), said.decode()
    return code, steps, said.decode()
