"""Make sure that the Docker daemon of a stack's host answers; start a local one if needed."""

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

# The sockets of the daemon from Debian's package. A daemon on another socket is not started here.
STANDARD_SOCKETS = (DEFAULT_SOCKET, "unix:///run/docker.sock")
SYSTEMD = Path("/run/systemd/system")
DOCKERD_PID = Path("/var/run/docker.pid")
CONTAINERD_PID = Path("/var/run/docker/containerd/containerd.pid")
PROC = Path("/proc")
SECONDS_TO_START = 60.0
SECONDS_TO_ANSWER = 20.0


class DaemonError(RuntimeError):
    """The Docker daemon of the stack's host cannot be used; the message contains the fix."""


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """A running Docker daemon."""

    transport: Transport

    @property
    def host(self) -> str:
        """The host, as in the stack file."""
        return self.transport.host

    def argv(self, *words: str) -> list[str]:
        """Return the argv that runs ``docker`` with *words* on the daemon's host."""
        return _docker(self.transport, words)

    def run(
        self, *words: str, stdin: IO[bytes] | None = None, seconds: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` with *words* and return the process, whatever its exit code."""
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
        """Run ``docker`` with *words* and return its stdout; raise DaemonError on failure."""
        result = self.run(*words)
        if result.returncode != 0:
            raise DaemonError(f"host {self.host}: docker {words[0]}: {_last(result.stderr)}")
        return result.stdout.strip()


def ensure_daemon(host: str = DEFAULT_SOCKET, *, ssh_config: str | None = None) -> Daemon:
    """
    Return the daemon of *host*, once it answers.

    On this machine, if it runs Debian and the process runs as root, Debian's docker.io is
    installed and started if needed. Nothing is installed over ssh, and no daemon is stopped.
    """
    refuse_docker_context()
    route = transport(host, ssh_config)
    error = _ping(route)
    if error is None:
        return Daemon(transport=route)
    if route.remote:
        raise DaemonError(_remote_advice(host, error))
    if host not in STANDARD_SOCKETS:
        raise DaemonError(
            f"host {host}: no Docker daemon answers on this socket ({error}). Start the daemon of "
            f"this socket, or set the stack's host to {DEFAULT_SOCKET}."
        )
    if not apt.can_install():
        raise DaemonError(_local_advice(host, error))
    _install()
    error = _ping(route)
    if error is not None:
        _start(route)
    return Daemon(transport=route)


def refuse_docker_context() -> None:
    """Raise DaemonError if DOCKER_CONTEXT is set, which overrides the host in the stack file."""
    context = os.environ.get("DOCKER_CONTEXT")
    if context:
        raise DaemonError(
            f"DOCKER_CONTEXT: {context!r}: this variable overrides the host in the stack file. "
            "Unset it (unset DOCKER_CONTEXT) and set the host in the stack file."
        )


def _docker(route: Transport, words: Sequence[str]) -> list[str]:
    command = ["docker", "-H", route.socket, *words]
    return route.argv(command) if route.remote else command


def _ping(route: Transport) -> str | None:
    """Return None if the daemon answers, else the error message of docker or ssh."""
    argv = _docker(route, ["version", "--format", "{{.Server.Version}}"])
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


def _start(route: Transport) -> None:
    """Start dockerd, with systemd if it runs, and return once it answers."""
    if SYSTEMD.is_dir():
        with progress.step("Docker: starting the daemon with systemd"):
            progress.run(["systemctl", "enable", "--now", "docker.service"], what="Docker")
            _await(route, None, "read journalctl -u docker.service")
        return
    log = folders.state() / "dockerd.log"
    with progress.step("Docker: starting the daemon without systemd"):
        progress.note(f"the daemon keeps running after this command; its log: {log}")
        drop_stale_pid(DOCKERD_PID, "dockerd")
        drop_stale_pid(CONTAINERD_PID, "containerd")
        if DOCKERD_PID.exists():
            progress.note("another dockerd is starting already")
            _await(route, None, f"its pid is in {DOCKERD_PID}, its log may be {log}")
            return
        with log.open("ab") as sink:
            process = subprocess.Popen(
                ["dockerd", "--pidfile", str(DOCKERD_PID), "-H", route.host],
                env=host_environment(os.environ, *PROXIES),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd="/",
                start_new_session=True,
            )
        _await(route, process, f"its log is {log}", log)


def drop_stale_pid(pid_file: Path, name: str) -> None:
    """
    Remove *pid_file* unless a process called *name* has the pid in it.

    dockerd refuses to start while any process has that pid. After a crash and a reboot, another
    process may have it.
    """
    try:
        pid = int(pid_file.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        pid = 0
    try:
        command = (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        command = ""
    if command != name:
        pid_file.unlink(missing_ok=True)


def _await(
    route: Transport,
    process: subprocess.Popen[bytes] | None,
    hint: str,
    log: Path | None = None,
) -> None:
    """Return once the daemon answers; raise DaemonError with *hint* if it ends or is too slow."""
    deadline = time.monotonic() + SECONDS_TO_START
    while (error := _ping(route)) is not None:
        if process is not None and process.poll() is not None:
            lines = log.read_text(errors="replace").splitlines()[-15:] if log else []
            raise DaemonError(
                f"host {route.host}: dockerd ended with status {process.returncode}; {hint}. "
                "Its last lines:\n" + "\n".join(f"    {line}" for line in lines)
            )
        if time.monotonic() > deadline:
            raise DaemonError(
                f"host {route.host}: the Docker daemon did not answer within "
                f"{SECONDS_TO_START:.0f} s ({error}); {hint}."
            )
        time.sleep(0.2)


def _local_advice(host: str, error: str) -> str:
    """Return the error message, with a fix, for a daemon on this machine."""
    if "permission denied" in error.lower():
        return (
            f"host {host}: this user may not use Docker. Add it to the group docker "
            '(sudo usermod -aG docker "$USER", then log in again); members of this group have '
            "the rights of root."
        )
    if apt.DEBIAN.exists():
        fix = "run sudo apt-get install docker.io, or run this command as root, which installs it"
    else:
        fix = "install Docker Engine or Docker Desktop for your system and start it"
    return f"host {host}: no Docker daemon answers ({_last(error)}). Fix: {fix}."


def _remote_advice(host: str, error: str) -> str:
    """Return the error message, with a fix, for a daemon that is reached by ssh."""
    lowered = error.lower()
    if "ssh: command not found" in lowered or lowered.startswith("ssh: command"):
        return (
            f"host {host}: the OpenSSH client is not installed here: apt-get install openssh-client"
        )
    if "docker: command not found" in lowered or "docker: not found" in lowered:
        return (
            f"host {host}: the docker command is missing. Install Docker on that host (Debian, "
            "Ubuntu: apt-get install docker.io); nothing is installed over ssh."
        )
    if "permission denied while trying to connect" in lowered or "docker daemon socket" in lowered:
        return (
            f"host {host}: the user that logs in may not use Docker. On that host: "
            "sudo usermod -aG docker USER, then log in again."
        )
    if "cannot connect to the docker daemon" in lowered:
        return (
            f"host {host}: Docker is installed there, but its daemon does not run. On that host: "
            "sudo systemctl enable --now docker"
        )
    return explain_ssh(host, error)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
