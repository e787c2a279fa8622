"""A broker that runs, with the scripts of a checkout, in folders of its own."""

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
from bootstrap.daemon import Daemon

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BROKER, APPLICATION, COLLECTOR = 1883, 4711, 4712
"""Users: of the broker's process, of an application with an env file, of node_exporter's folder."""
WHOSE = {BROKER: "the broker's user", APPLICATION: "an application's user", COLLECTOR: "prometheus"}
LIMIT = 90
"""Seconds that a script may take: its own waits end after 60."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
OWNED = ("config", "data", "log", "app", "textfile")
TEXTFILE = "textfile/collector"
"""As /var/lib/prometheus/node-exporter is: both belong to prometheus."""
USERS = ("admin", "application", "health")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a script ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def clear(self) -> bool:
        """Whether it succeeded or said what is wrong, within its time."""
        return self.code == 0 or (self.code > 0 and bool(self.stderr.strip()))


@dataclass
class Stack:
    """A broker that runs in folders below *base*, and the scripts that work on it."""

    base: Path
    tree: Path
    daemon: Daemon
    image: str
    name: str
    passwords: dict[str, str]
    rendered: dict[str, Any] = field(default_factory=dict)
    template: Path = Path()
    limit: float = LIMIT
    """Seconds after which a script is ended."""
    variants: dict[str, int] = field(default_factory=lambda: {"files": 1, "certificates": 1})
    """Which of its two texts each script has put in place."""

    @property
    def hostile(self) -> dict[str, int]:
        """The folders that belong to somebody else than root, with that user."""
        found: dict[str, int] = {}
        for folder in (*OWNED, "backups", "env", "erased/data", "erased/log"):
            path = self.base / folder
            if path.exists() and (owner := path.lstat().st_uid) != 0:
                found[str(path)] = owner
        return found

    def run(self, command: dict[str, Any], *, before: Sequence[str] = ()) -> Ended:
        """Run a script as the program does; end it and its children after ``limit`` seconds."""
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
            out, said = process.communicate(command["stdin"], timeout=self.limit)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, said = process.communicate()
            code = -signal.SIGKILL
        return Ended(code=code, stdout=out, stderr=said, seconds=time.monotonic() - began)

    def traced(self, command: dict[str, Any]) -> tuple[Ended, list[Access]]:
        """Run a script below strace(1); return what its processes touched, too."""
        with tempfile.TemporaryDirectory(prefix="traced-") as folder:
            prefix = Path(folder) / "of"
            ended = self.run(command, before=(*STRACE, "-o", str(prefix)))
            return ended, parse(read(prefix), cwd="/")

    def command(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rendered["commands"][name]
        return found

    def do(self, name: str) -> None:
        """Run an undisturbed script that must succeed."""
        ended = self.run(self.command(name))
        if ended.code:
            raise RuntimeError(f"{name}: exit {ended.code}: {ended.stderr or ended.stdout}")

    def start(self) -> None:
        """Bring the broker up, with two retained messages in its database."""
        for name in ("folders", "certificates 1", "files 1"):
            self.do(name)
        self.daemon.ask("run", "--detach", "--name", self.name, *self.rendered["container"])
        self.await_answer()
        for command in self.rendered["commands"]["env files"].values():
            self.run(command)  # refused where it can't be written safely
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
        """Put every folder back as it was at the start, and have the broker run on it."""
        ill = not self._runs()
        for name in OWNED:
            folder = self.base / name
            if not folder.lstat().st_uid:
                continue
            _remove_strangers(folder, self.template / name)
            if _differs(folder, self.template / name):
                if name in {"config", "data", "log"} and not ill:
                    self.daemon.run("rm", "--force", "--volumes", self.name)
                    ill = True
                shutil.rmtree(folder)
                _copy(self.template / name, folder)
                if name == "config":
                    self.variants = dict.fromkeys(self.variants, 1)
        self._remove_strays()
        if ill:
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
    """Copy a folder with its owners; links stay links."""
    subprocess.run(["cp", "-a", "--", str(source), str(target)], check=True)


def _remove_strangers(folder: Path, template: Path) -> None:
    """Remove what *template* has no name for: no broker needs a restart for that."""
    for entry in os.scandir(folder):
        if (template / entry.name).is_symlink() or (template / entry.name).exists():
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink()


def _differs(folder: Path, template: Path) -> bool:
    """Whether the names, kinds or owners below *folder* are others than those of *template*."""
    return _inventory(folder) != _inventory(template)


def _inventory(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            there = path.lstat()
            found[str(path.relative_to(folder))] = (there.st_mode, there.st_uid, there.st_gid)
    return found


@contextmanager
def stack(tree: Path, daemon: Daemon, image: str) -> Iterator[Stack]:
    """Yield a broker with the scripts of *tree*, in a file system that notes each read."""
    base = Path(tempfile.mkdtemp(prefix="attack-", dir="/srv" if Path("/srv").is_dir() else "/"))
    base.chmod(0o755)
    options = "strictatime,mode=0755,size=512m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "attack", str(base)], check=True)
    name = f"attack-{secrets.token_hex(4)}"
    made = Stack(
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
        made.rendered = _render(made)
        made.start()
        yield made
    finally:
        made.remove()
        subprocess.run(["umount", "--lazy", str(base)], check=True)
        base.rmdir()


def _render(made: Stack) -> dict[str, Any]:
    base = made.base
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
            "container": made.name,
            "image": made.image,
            "folders": {each: str(base / each) for each in ("config", "data", "log")},
            "listeners": {"mqtt": {"port": port}, "mqtts": {"port": free_port(), "tls": {}}},
            "health": {"user": "health"},
            "backups": {"folder": str(base / "backups"), "keep": 3},
            "envFiles": env_files,
        },
        "users": {user: {"readwrite": ["#"]} for user in USERS if user != "health"},
    }
    given = {
        "raw": raw,
        "passwords": made.passwords,
        "socket": "unix:///var/run/docker.sock",
        "image": made.image,
        "stack": "attack",
        "seed": "seed",
        "request": request,
        "textfile": str(base / TEXTFILE),
        "env_files": [each["path"] for each in env_files],
        "erased": [str(base / "erased" / each) for each in ("data", "log")],
    }
    done = subprocess.run(
        [sys.executable, "-P", str(HERE / "render.py")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(made.tree), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=made.tree,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    found["port"] = port
    return found
