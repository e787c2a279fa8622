"""A server of its own: network, /etc and /run that nobody else has, and a Docker daemon in it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from broker.host.transport import DEFAULT_SOCKET

PATIENCE = 60.0
"""Seconds that a Docker daemon has, to answer and to end."""

SETUP = """
set -eu
mount --make-rprivate /
mkdir -p "$1/etc-new" "$1/etc-work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc-new,workdir=$1/etc-work" /etc
mount -t tmpfs tmpfs /run
ip link set lo up
shift
"$@"
"""


def on_a_server(folder: Path, *options: str) -> tuple[str, ...]:
    """
    Return what stands before a command that is to run on a server of its own.

    What the command changes in /etc is below *folder*. *options* are more of unshare(1)'s.
    """
    return ("unshare", "--mount", "--net", *options, "sh", "-c", SETUP, "sh", str(folder))


def child_of(process: int) -> int:
    """Return the only child of a process that has but one, such as unshare(1) and Docker's init."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    assert len(children) == 1, f"process {process} has the children {children}"
    return int(children[0])


@dataclass
class Dockerd:
    """A Docker daemon on the usual socket, of a server of its own: not the machine's."""

    folder: Path
    """What it keeps, and its log."""
    inside: tuple[str, ...] = ()
    """Stands before a command that is to run on the server."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Return once it answers; what it says is in ``dockerd.log``."""
        with (self.folder / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.inside, "dockerd", "--data-root", str(self.folder / "docker"),
                 "--exec-root", "/run/docker-exec", "--pidfile", "/run/docker.pid",
                 "--host", DEFAULT_SOCKET],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, f"dockerd ended: {self._last_words()}"
            assert time.monotonic() < deadline, f"dockerd: no answer: {self._last_words()}"
            time.sleep(0.1)

    def stop(self) -> None:
        """Return once it has ended, and before it every container, in its own time."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(PATIENCE)

    def _answers(self) -> bool:
        done = subprocess.run([*self.inside, "docker", "version"], capture_output=True, check=False)
        return done.returncode == 0

    def _last_words(self) -> str:
        log = (self.folder / "dockerd.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(log.splitlines()[-10:])
