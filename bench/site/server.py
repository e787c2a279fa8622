"""An isolated server: its own network, /etc and /run, with a Docker daemon."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from broker.host.transport import DEFAULT_SOCKET

TIMEOUT = 60.0
"""Seconds for a Docker daemon to answer, and to stop."""

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
    Return the argv prefix that runs a command on an isolated server.

    Changes of /etc are stored in *folder*. *options* are additional ones of unshare(1).
    """
    return ("unshare", "--mount", "--net", *options, "sh", "-c", SETUP, "sh", str(folder))


def child_of(process: int) -> int:
    """Return the only child of a process, such as that of unshare(1) or of Docker's init."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
    assert len(children) == 1, f"process {process} has the children {children}"
    return int(children[0])


@dataclass
class Dockerd:
    """A Docker daemon on the default socket of an isolated server."""

    folder: Path
    """The folder of its data and its log."""
    inside: tuple[str, ...] = ()
    """The argv prefix that runs a command on the server."""
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Return once it answers; its output is in ``dockerd.log``."""
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
        deadline = time.monotonic() + TIMEOUT
        while not self._answers():
            assert self.process.poll() is None, f"dockerd ended: {self._end_of_log()}"
            assert time.monotonic() < deadline, f"dockerd: no answer: {self._end_of_log()}"
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it and its containers, each within its grace period."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def _answers(self) -> bool:
        done = subprocess.run([*self.inside, "docker", "version"], capture_output=True, check=False)
        return done.returncode == 0

    def _end_of_log(self) -> str:
        log = (self.folder / "dockerd.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(log.splitlines()[-10:])
