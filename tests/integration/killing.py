"""Run a script of ``host/`` and kill it, with its children, before one of its steps."""

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

from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.transport import transport

ROOT = Path(__file__).resolve().parents[2]

SHIM = """#!/bin/sh
read -r n <"$COUNT"
n=$((n + 1))
echo "$n" >"$COUNT"
if [ -n "$JOURNAL" ]; then
  printf '%s\\n' {name} "$@" >"$JOURNAL/$n.words"
  {{
    {find} "$JOURNAL_OF" -printf '%P %y %m %U %G %l\\n'
    {find} "$JOURNAL_OF" -type f -exec {sha1sum} {{}} +
  }} >"$JOURNAL/$n.state"
fi
if [ "$n" -eq "$KILL_AT" ]; then kill -9 "-$GROUP"; fi
exec {real} "$@"
"""


def put_before(folder: Path, name: str, text: str = SHIM) -> None:
    """Write a shim *name* into *folder* that runs before the real program."""
    shim = folder / name
    real = {program: shutil.which(program) for program in (name, "find", "sha1sum")}
    shim.write_text(
        text.format(name=name, real=real[name], find=real["find"], sha1sum=real["sha1sum"])
    )
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)


def owners_here(folder: Path) -> None:
    """Run the scripts of ``as_owner`` on this machine, so that their steps reach the shims, too."""
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\n{OWNER_CONTAINERS}\nexec {shutil.which("docker")} "$@"\n')
    docker.chmod(0o755)


def run(
    scripts: str,
    calls: Iterable[ScriptCall],
    host: str,
    shims: Path,
    *,
    kill_at: int,
    journal_of: str = "",
) -> tuple[int, int, str]:
    """
    Run *scripts* in their own process group; return exit code, number of steps and output.

    Before every step, its command and the state of *journal_of* are recorded for `moments`.
    """
    journal = shims / "journal"
    shutil.rmtree(journal, ignore_errors=True)
    journal.mkdir()
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
            "JOURNAL": str(journal) if journal_of else "",
            "JOURNAL_OF": journal_of,
            # A shim counts in a file of root, and kills processes of root.
            "OWNER_CAPS": "+kill,+dac_override",
        },
    )
    output, _ = process.communicate(render_stdin(text, calls).encode(), timeout=600)
    steps, code = int(count.read_text()), process.returncode
    # If the kill did not work, every test of it would pass.
    assert (code == -signal.SIGKILL) == (0 < kill_at <= steps), output.decode()
    return code, steps, output.decode()


def moments(shims: Path, *, beside: tuple[str, ...] = ()) -> list[int]:
    """
    Return the steps of the recorded run before which a kill leaves a new state.

    Other steps are skipped: neither the folder nor a container changed before them. Files whose
    path contains one of *beside* are ignored.
    """
    journal = shims / "journal"
    steps = range(1, len(list(journal.glob("*.words"))) + 1)
    words = {step: (journal / f"{step}.words").read_text().splitlines() for step in steps}
    states = {
        step: sorted(
            line
            for line in (journal / f"{step}.state").read_text().splitlines()
            if not any(name in line for name in beside)
        )
        for step in steps
    }
    return [
        step
        for step in steps
        if step == 1 or states[step] != states[step - 1] or _changes_containers(words[step - 1])
    ]


def _changes_containers(words: list[str]) -> bool:
    """Return whether a command is a ``docker -H SOCKET ...`` that changes something."""
    if words[0] != "docker":
        return False
    reads = words[3] in ("image", "inspect", "container", "logs") or (
        words[3] == "exec" and "kill" not in words
    )
    return not reads
