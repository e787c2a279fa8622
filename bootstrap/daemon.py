"""The Docker daemon of a stack's host answers, or an error says what to do about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bootstrap import apt, folders, progress
from broker.host.transport import (
    DEFAULT_SOCKET,
    PROXIES,
    Transport,
    explain_ssh,
    host_environment,
    transport,
)

# The sockets of the daemon that Debian's package starts; any other is somebody's own daemon.
STANDARD_SOCKETS = (DEFAULT_SOCKET, "unix:///run/docker.sock")
SYSTEMD = Path("/run/systemd/system")
DOCKERD_PID = Path("/var/run/docker.pid")
CONTAINERD_PID = Path("/var/run/docker/containerd/containerd.pid")
PROC = Path("/proc")
SECONDS_TO_START = 60.0
SECONDS_TO_ANSWER = 20.0


class DaemonError(RuntimeError):
    """Docker can't be used as the stack file says; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A Docker daemon that answered."""

    transport: Transport

    @property
    def host(self) -> str:
        """As the stack file says it."""
        return self.transport.host

    def argv(self, *words: str) -> list[str]:
        """Return the argv that runs ``docker`` with *words*, on the host where the daemon is."""
        return _docker(self.transport, words)

    def run(
        self, *words: str, stdin: IO[bytes] | None = None, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with *words* and return what came of it, good or bad."""
        return subprocess.run(
            self.argv(*words),
            env=host_environment(os.environ),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=stdin or subprocess.DEVNULL,
            timeout=seconds,
        )

    def ask(self, *words: str) -> str:
        """Run ``docker`` with *words* and return its stdout; a failure is an error."""
        result = self.run(*words)
        if result.returncode != 0:
            raise DaemonError(f"host {self.host}: docker {words[0]}: {_last(result.stderr)}")
        return result.stdout.strip()


def ensure_daemon(host: str = DEFAULT_SOCKET, *, ssh_config: str | None = None) -> Daemon:
    """
    Return the daemon of *host*, once it answers.

    On the machine itself, where it is Debian or a relative of it and we are root, Debian's
    docker.io is installed and started if need be. Nothing is ever installed on a host that is
    reached by ssh, and no daemon is ever stopped.
    """
    refuse_docker_context()
    way = transport(host, ssh_config)
    complaint = _complaint(way)
    if complaint is None:
        return Daemon(transport=way)
    if way.remote:
        raise DaemonError(_remote_advice(host, complaint))
    if host not in STANDARD_SOCKETS:
        raise DaemonError(
            f"host {host}: no Docker daemon answers on that socket ({complaint}). Start the one "
            f"it belongs to, or set the stack's host to {DEFAULT_SOCKET}."
        )
    if not apt.can_install():
        raise DaemonError(_local_advice(host, complaint))
    _install()
    complaint = _complaint(way)
    if complaint is not None:
        _start(way)
    return Daemon(transport=way)


def refuse_docker_context() -> None:
    """Refuse a setting that would take the work to another host than the stack file names."""
    context = os.environ.get("DOCKER_CONTEXT")
    if context:
        raise DaemonError(
            f"DOCKER_CONTEXT: {context!r}: is set, and it would silently override the host that "
            "the stack file names. Unset it (unset DOCKER_CONTEXT) and say the host in the stack "
            "file."
        )


def _docker(way: Transport, words: Sequence[str]) -> list[str]:
    command = ["docker", "-H", way.socket, *words]
    return way.argv(command) if way.remote else command


def _complaint(way: Transport) -> str | None:
    """Return why no daemon answers, in its own words, or None if one does."""
    argv = _docker(way, ["version", "--format", "{{.Server.Version}}"])
    try:
        result = subprocess.run(
            argv,
            env=host_environment(os.environ),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=SECONDS_TO_ANSWER,
        )
    except FileNotFoundError:
        return f"{argv[0]}: command not found"
    except OSError as wrong:
        return f"{argv[0]}: {wrong.strerror}"
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS_TO_ANSWER:.0f} s"
    if result.returncode == 0 and result.stdout.strip():
        return None
    return result.stderr.strip() or f"docker ended with status {result.returncode}"


def _install() -> None:
    missing = [
        *([] if shutil.which("dockerd") and shutil.which("docker") else ["docker.io"]),
        *([] if shutil.which("iptables") else ["iptables"]),
    ]
    if not missing:
        return
    with progress.step(f"Docker: installing Debian's {' and '.join(missing)}"):
        apt.install([*missing, "ca-certificates"], what="Docker")
        if shutil.which("docker") is None:
            apt.install(["docker-cli"], what="Docker")  # a package of its own since Debian 13


def _start(way: Transport) -> None:
    if SYSTEMD.is_dir():
        with progress.step("Docker: starting the daemon with systemd"):
            progress.run(["systemctl", "enable", "--now", "docker.service"], what="Docker")
            _await(way, None, "journalctl -u docker.service says why")
        return
    log = folders.state() / "dockerd.log"
    with progress.step("Docker: starting the daemon (no systemd here, so directly)"):
        progress.note(f"it goes on after this; its log: {log}")
        drop_stale_pid(DOCKERD_PID, "dockerd")
        drop_stale_pid(CONTAINERD_PID, "containerd")
        if DOCKERD_PID.exists():
            progress.note("one is on its way up already")
            _await(way, None, f"its pid is in {DOCKERD_PID}, its log may be {log}")
            return
        with log.open("ab") as sink:
            process = subprocess.Popen(
                ["dockerd", "--pidfile", str(DOCKERD_PID), "-H", way.host],
                env=host_environment(os.environ, *PROXIES),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",
                start_new_session=True,
            )
        _await(way, process, f"its log is {log}", log)


def drop_stale_pid(pid_file: Path, name: str) -> None:
    """
    Remove *pid_file* if no process called *name* has the pid in it.

    dockerd refuses to start while any process has that pid, and after a crash and a reboot some
    other process may well have it.
    """
    try:
        pid = int(pid_file.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        pid = 0
    try:
        found = (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        found = ""
    if found != name:
        pid_file.unlink(missing_ok=True)


def _await(
    way: Transport,
    process: subprocess.Popen[bytes] | None,
    where: str,
    log: Path | None = None,
) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while (complaint := _complaint(way)) is not None:
        if process is not None and process.poll() is not None:
            lines = log.read_text(errors="replace").splitlines()[-15:] if log else []
            raise DaemonError(
                f"host {way.host}: dockerd ended with status {process.returncode}; {where}. "
                "It said last:\n" + "\n".join(f"    {line}" for line in lines)
            )
        if time.monotonic() > deadline:
            raise DaemonError(
                f"host {way.host}: the Docker daemon did not answer within "
                f"{SECONDS_TO_START:.0f} s ({complaint}); {where}."
            )
        time.sleep(0.2)


def _local_advice(host: str, complaint: str) -> str:
    if "permission denied" in complaint.lower():
        return (
            f"host {host}: this user may not talk to Docker. Add it to the group that may "
            '(sudo usermod -aG docker "$USER", then log in again); members of it are as good as '
            "root."
        )
    if apt.DEBIAN.exists():
        way_out = "sudo apt-get install docker.io, or run this as root once, which does it for you"
    else:
        way_out = "install Docker Engine or Docker Desktop for your system and start it"
    return f"host {host}: no Docker daemon answers ({_last(complaint)}). Way out: {way_out}."


def _remote_advice(host: str, complaint: str) -> str:
    lowered = complaint.lower()
    if "ssh: command not found" in lowered or lowered.startswith("ssh: command"):
        return (
            f"host {host}: the OpenSSH client is not installed here: apt-get install openssh-client"
        )
    if "docker: command not found" in lowered or "docker: not found" in lowered:
        return (
            f"host {host}: the docker command is not there. Install Docker on that host (Debian, "
            "Ubuntu: apt-get install docker.io); nothing is installed over ssh."
        )
    if "permission denied while trying to connect" in lowered or "docker daemon socket" in lowered:
        return (
            f"host {host}: the user that logs in may not talk to Docker. On that host: "
            "sudo usermod -aG docker USER, then log in again."
        )
    if "cannot connect to the docker daemon" in lowered:
        return (
            f"host {host}: Docker is installed there, but its daemon does not run. On that host: "
            "sudo systemctl enable --now docker"
        )
    return explain_ssh(host, complaint)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
