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
    """Put *text* before the real program of that *name*, for runs with *folder* as their shims."""
    shim = folder / name
    real = {each: shutil.which(each) for each in (name, "find", "sha1sum")}
    shim.write_text(
        text.format(name=name, real=real[name], find=real["find"], sha1sum=real["sha1sum"])
    )
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)


def owners_here(folder: Path) -> None:
    """Run on this machine what a folder's owner does, so that its steps come to the shims, too."""
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
    Run *scripts* in a process group of their own; return exit code, steps, what they said.

    Before each step, what it is and what a folder *journal_of* holds is noted for `moments`.
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
            # A shim counts in a file of root's, and ends processes of root's.
            "OWNER_CAPS": "+kill,+dac_override",
        },
    )
    said, _ = process.communicate(render_stdin(text, calls).encode(), timeout=600)
    steps, code = int(count.read_text()), process.returncode
    # A kill that does not work would let every test of it pass.
    assert (code == -signal.SIGKILL) == (0 < kill_at <= steps), said.decode()
    return code, steps, said.decode()


def moments(shims: Path, *, beside: tuple[str, ...] = ()) -> list[int]:
    """
    Return the steps of the run with a journal before which a kill leaves what none before it did.

    Between two others nothing has changed: not the folder, and the step was no change of Docker's.
    Files of which the path holds one of *beside* are left out.
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
    """Whether a command is a ``docker -H SOCKET ...`` that does more than to ask."""
    if words[0] != "docker":
        return False
    asks = words[3] in ("image", "inspect", "logs") or (words[3] == "exec" and "kill" not in words)
    return not asks
