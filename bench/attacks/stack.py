"""A running broker with its own folders, and the scripts of a checkout."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.attacks.trace import STRACE, Access, parse, read
from bench.clients import free_port
from bootstrap.docker_daemon import Daemon

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BROKER, APPLICATION, COLLECTOR = 1883, 4711, 4712
"""The uids of the broker, of an application with an env file, and of node_exporter's folder."""
WHOSE = {BROKER: "the broker's user", APPLICATION: "an application's user", COLLECTOR: "prometheus"}
LIMIT = 90
"""Seconds per script, whose own timeouts are 60."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
OWNED = ("config", "data", "log", "app", "textfile")
TEXTFILE = "textfile/collector"
"""Like /var/lib/prometheus/node-exporter: the folder and its parent belong to prometheus."""
USERS = ("admin", "application", "health")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result of a script."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def clear(self) -> bool:
        """Whether it succeeded, or failed with a message, within its time."""
        return self.code == 0 or (self.code > 0 and bool(self.stderr.strip()))


@dataclass
class Stack:
    """A broker with its folders in *base*, and the scripts that manage it."""

    base: Path
    tree: Path
    daemon: Daemon
    image: str
    name: str
    passwords: dict[str, str]
    rendered: dict[str, Any] = field(default_factory=dict)
    template: Path = Path()
    limit: float = LIMIT
    """Seconds after which a script is killed."""
    variants: dict[str, int] = field(default_factory=lambda: {"files": 1, "certificates": 1})
    """Which of its two texts a script has installed, by name."""

    @property
    def hostile(self) -> dict[str, int]:
        """The folders that do not belong to root, with the uid of their owner."""
        owners: dict[str, int] = {}
        for folder in (*OWNED, "backups", "env", "erased/data", "erased/log"):
            path = self.base / folder
            if path.exists() and (owner := path.lstat().st_uid) != 0:
                owners[str(path)] = owner
        return owners

    def run(self, command: dict[str, Any], *, before: Sequence[str] = ()) -> Ended:
        """Run a script as the program does; kill it and its children after ``limit`` seconds."""
        began = time.monotonic()
        process = subprocess.Popen(
            [*before, *command["argv"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(command["stdin"], timeout=self.limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            code = -signal.SIGKILL
        return Ended(code=code, stdout=stdout, stderr=stderr, seconds=time.monotonic() - began)

    def traced(self, command: dict[str, Any]) -> tuple[Ended, list[Access]]:
        """Run a script under strace(1); return its result and the accesses of its processes."""
        with tempfile.TemporaryDirectory(prefix="traced-") as folder:
            prefix = Path(folder) / "of"
            ended = self.run(command, before=(*STRACE, "-o", str(prefix)))
            return ended, parse(read(prefix), cwd="/")

    def command(self, name: str) -> dict[str, Any]:
        rendered: dict[str, Any] = self.rendered["commands"][name]
        return rendered

    def do(self, name: str) -> None:
        """Run a script undisturbed; raise RuntimeError if it fails."""
        ended = self.run(self.command(name))
        if ended.code:
            raise RuntimeError(f"{name}: exit {ended.code}: {ended.stderr or ended.stdout}")

    def start(self) -> None:
        """Start the broker, with two retained messages in its database."""
        for name in ("folders", "certificates 1", "files 1"):
            self.do(name)
        self.daemon.ask("run", "--detach", "--name", self.name, *self.rendered["container"])
        self.await_answer()
        for command in self.rendered["commands"]["env files"].values():
            self.run(command)  # fails for a folder in which root cannot write safely
        for number in range(2):
            self.publish(f"attack/{number}")
        self.daemon.ask("exec", self.name, "kill", "-USR1", "1")
        database = self.base / "data" / "mosquitto.db"
        deadline = time.monotonic() + 10
        while not database.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.template = self.base / "template"
        self.template.mkdir(mode=0o700)
        for folder in OWNED:
            _copy(self.base / folder, self.template / folder)

    def publish(self, topic: str) -> None:
        """Publish a retained message as the user ``admin``, whose password is on stdin."""
        script = (
            "mkdir -p /dev/shm/o && cat >/dev/shm/o/mosquitto_pub && "
            f"XDG_CONFIG_HOME=/dev/shm/o mosquitto_pub -h 127.0.0.1 -t {topic} -m kept -r -q 1"
        )
        port = self.rendered["port"]
        subprocess.run(
            self.daemon.argv("exec", "-i", self.name, "sh", "-c", script),
            input=f"-u admin\n-P {self.passwords['admin']}\n-p {port}\n",
            text=True,
            check=True,
            capture_output=True,
        )

    def await_answer(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self.publish("attack/up")
            except subprocess.CalledProcessError as wrong:
                if time.monotonic() > deadline:
                    log = self.daemon.run("logs", self.name)
                    raise RuntimeError(f"{wrong.stderr}: {log.stdout}{log.stderr}") from None
                time.sleep(0.1)
            else:
                return

    def heal(self) -> None:
        """Restore every folder to its state at the start, and restart the broker if needed."""
        needs_start = not self._runs()
        for name in OWNED:
            folder = self.base / name
            if not folder.lstat().st_uid:
                continue
            _remove_strangers(folder, self.template / name)
            if _differs(folder, self.template / name):
                if name in {"config", "data", "log"} and not needs_start:
                    self.daemon.run("rm", "--force", "--volumes", self.name)
                    needs_start = True
                shutil.rmtree(folder)
                _copy(self.template / name, folder)
                if name == "config":
                    self.variants = dict.fromkeys(self.variants, 1)
        self._remove_strays()
        if needs_start:
            self.daemon.run("rm", "--force", "--volumes", self.name)
            self.daemon.ask("run", "--detach", "--name", self.name, *self.rendered["container"])
            self.await_answer()

    def _runs(self) -> bool:
        return (
            self.daemon.run(
                "inspect", "--format", "{{.State.Running}} {{.State.Restarting}}", self.name
            ).stdout.strip()
            == "true false"
        )

    def _remove_strays(self) -> None:
        filtered = ("ps", "--all", "--quiet", "--filter", f"name=^/{self.name}-")
        for stray in self.daemon.run(*filtered).stdout.split():
            self.daemon.run("rm", "--force", "--volumes", stray)

    def remove(self) -> None:
        self._remove_strays()
        self.daemon.run("rm", "--force", "--volumes", self.name)
        for path in (self.rendered.get("kept"), self.rendered.get("logrotate")):
            if path and Path(path).is_dir():
                shutil.rmtree(path)
            elif path:
                Path(path).unlink(missing_ok=True)
        for path in (
            *Path("/etc/cron.d").glob(f"*{self.name}*"),
            *Path("/run").glob(f"*{self.name}*"),
        ):
            path.unlink()
        with contextlib.suppress(OSError):
            Path("/etc/sentient-mqtt").rmdir()


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its owners, without following links."""
    subprocess.run(["cp", "-a", "--", str(source), str(target)], check=True)


def _remove_strangers(folder: Path, template: Path) -> None:
    """Remove names that *template* does not have, which needs no restart of the broker."""
    for entry in os.scandir(folder):
        if (template / entry.name).is_symlink() or (template / entry.name).exists():
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def _differs(folder: Path, template: Path) -> bool:
    """Return whether names, kinds or owners in *folder* differ from those in *template*."""
    return _inventory(folder) != _inventory(template)


def _inventory(folder: Path) -> dict[str, tuple[int, int, int]]:
    entries = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent) / name
            status = path.lstat()
            entries[str(path.relative_to(folder))] = (status.st_mode, status.st_uid, status.st_gid)
    return entries


@contextmanager
def stack(tree: Path, daemon: Daemon, image: str) -> Iterator[Stack]:
    """Yield a broker with the scripts of *tree*, in a file system with access times."""
    base = Path(tempfile.mkdtemp(prefix="attack-", dir="/srv" if Path("/srv").is_dir() else "/"))
    base.chmod(0o755)
    options = "strictatime,mode=0755,size=512m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "attack", str(base)], check=True)
    name = f"attack-{secrets.token_hex(4)}"
    target = Stack(
        base=base,
        tree=tree,
        daemon=daemon,
        image=image,
        name=name,
        passwords={user: secrets.token_urlsafe(24) for user in USERS},
    )
    try:
        owners = {"app": APPLICATION, "textfile": COLLECTOR, TEXTFILE: COLLECTOR, "env": 0}
        for folder, owner in owners.items():
            (base / folder).mkdir(mode=0o755)
            os.chown(base / folder, owner, owner)
        target.rendered = _render(target)
        target.start()
        yield target
    finally:
        target.remove()
        subprocess.run(["umount", "--lazy", str(base)], check=True)
        base.rmdir()


def _render(target: Stack) -> dict[str, Any]:
    """Return the rendered commands of *target*'s checkout, from bench/attacks/render.py."""
    base = target.base
    port = free_port()
    env_files = [
        {"path": f"{base}/{folder}/mqtt.env", "user": "application", "owner": owner}
        for folder in ("app", "env")
        for owner in [{"uid": APPLICATION, "gid": APPLICATION}]
    ]
    request = subprocess.run(
        [
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", "/dev/null", "-subj", "/CN=application"),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    raw = {
        "broker": {
            "host": "unix:///var/run/docker.sock",
            "address": "127.0.0.1",
            "container": target.name,
            "image": target.image,
            "folders": {folder: str(base / folder) for folder in ("config", "data", "log")},
            "listeners": {"mqtt": {"port": port}, "mqtts": {"port": free_port(), "tls": {}}},
            "health": {"user": "health"},
            "backups": {"folder": str(base / "backups"), "keep": 3},
            "envFiles": env_files,
        },
        "users": {user: {"readwrite": ["#"]} for user in USERS if user != "health"},
    }
    values = {
        "raw": raw,
        "passwords": target.passwords,
        "socket": "unix:///var/run/docker.sock",
        "image": target.image,
        "stack": "attack",
        "seed": "seed",
        "request": request,
        "textfile": str(base / TEXTFILE),
        "env_files": [file["path"] for file in env_files],
        "erased": [str(base / "erased" / folder) for folder in ("data", "log")],
    }
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "render.py")],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(target.tree), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=target.tree,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    rendered: dict[str, Any] = json.loads(done.stdout)
    rendered["port"] = port
    return rendered
