"""Compare `brokerctl up` with Ansible for the same broker: 100 users, one more, a rotation."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients import free_port
from bench.site import accepts_login, temporary_stack
from bench.users_up import declare
from bootstrap import packages
from bootstrap.broker_image import FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import ensure_daemon
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR, render_conf
from broker.settings.stack_settings import Settings

PLAYBOOK = Path(__file__).parent / "ansible"
USERS = 100
UP_TIMEOUT = 600.0
ANSIBLE = Path("/usr/bin/ansible-playbook")
EXISTING_USER = "bench-0000"
ADDED_USER = f"bench-{USERS - 5:04}"


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """A broker that Debian's Ansible deploys from the settings of a stack file."""

    name: str
    folder: Path
    port: int
    image: str
    mosquitto_passwd: Path
    at_once: bool
    """Whether one `mosquitto_passwd -U` hashes all passwords, instead of one call per user."""

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def run(self, settings: Settings) -> float:
        """Return the seconds that the playbook takes to deploy *settings*."""
        variables = self.folder / "variables.json"
        variables.write_text(json.dumps(self._variables(settings)), encoding="utf-8")
        texts = {
            "mosquitto.conf": render_conf(settings.broker),
            "mosquitto.acl": render_acl(settings),
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        began = time.perf_counter()
        done = subprocess.run(
            [ANSIBLE, "--extra-vars", f"@{variables}", PLAYBOOK / "broker.yml"],
            env={
                "PATH": os.defpath,
                "HOME": str(self.folder),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_CONFIG": str(PLAYBOOK / "ansible.cfg"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        assert done.returncode == 0, f"ansible-playbook:\n{done.stdout}"
        return seconds

    def accepts_login(self, user: str, generation: str) -> bool:
        """Return whether *user* can log in with the password of *generation*."""
        password = (self.secrets / f"{user}.{generation}").read_text(encoding="utf-8").strip()
        return accepts_login(self.port, user, password)

    def _variables(self, settings: Settings) -> dict[str, Any]:
        broker = settings.broker
        root = self.folder / "root"
        folders = {folder: str(root / folder) for folder in ("config", "data", "log")}
        (container_port, _) = (listener.port for listener in broker.listeners.values())
        mounts = zip(folders.values(), (f"{CONFIG_DIR}:ro", DATA_DIR, LOG_DIR), strict=True)
        options: dict[str, list[str]] = {
            "--user": [f"{broker.owner.uid}:{broker.owner.gid}"],
            "--publish": [f"127.0.0.1:{self.port}:{container_port}"],
            "--volume": [f"{host}:{inside}" for host, inside in mounts],
            "--ulimit": [f"nofile={broker.limits.descriptors}"],
            "--restart": [broker.restart],
            "--stop-timeout": [str(broker.stop_grace)],
        }
        generations = {name: user.generation for name, user in settings.users.items()}
        return {
            "container": self.name,
            "image": self.image,
            "options": [
                "--read-only",
                "--cap-drop=ALL",
                *(f"{key}={value}" for key, values in options.items() for value in values),
            ],
            "runs": ["/usr/sbin/mosquitto", "-c", f"{CONFIG_DIR}/mosquitto.conf"],
            "listens": self.port,
            "folders": folders,
            "texts": str(self.folder),
            "secrets": str(self.secrets),
            "users": {broker.health.user: broker.health.generation, **generations},
            "env_file": {"path": str(root / ".env"), "user": broker.env_files[0].user},
            "mosquitto_passwd": str(self.mosquitto_passwd),
            "at_once": self.at_once,
        }


def mosquitto_passwd(folder: Path) -> Path:
    """Unpack mosquitto_passwd into *folder*: the installed package starts a broker on port 1883."""
    subprocess.run(
        ["apt-get", "download", "mosquitto"], cwd=folder, check=True, capture_output=True
    )
    (package,) = folder.glob("mosquitto_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder / "unpacked"], check=True)
    return folder / "unpacked/usr/bin/mosquitto_passwd"


@contextmanager
def playbooks() -> Iterator[tuple[Playbook, Playbook]]:
    """Yield two playbooks with a broker each: one hashes one by one, the other all at once."""
    packages.install(packages.BENCH, what="bench")
    daemon = ensure_daemon()
    with tempfile.TemporaryDirectory(prefix="bench-ansible-") as folder:
        Path(folder).chmod(0o755)
        tool = mosquitto_passwd(Path(folder))
        both = tuple(
            Playbook(
                name=f"bench-ansible-{secrets.token_hex(4)}",
                folder=Path(folder) / variant,
                port=free_port(),
                image=fallback_image(FALLBACK_SUITE, daemon).name,
                mosquitto_passwd=tool,
                at_once=variant == "at-once",
            )
            for variant in ("one-by-one", "at-once")
        )
        try:
            for playbook in both:
                playbook.secrets.mkdir(parents=True, mode=0o700)
            yield both[0], both[1]
        finally:
            for playbook in both:
                daemon.run("rm", "--force", "--volumes", playbook.name)


def rotate(config: dict[str, Any]) -> None:
    for name, user in config["users"].items():
        if name != ADDED_USER:
            user["generation"] = "2"


def no_change(_config: dict[str, Any]) -> None:
    pass


STEPS: tuple[tuple[str, Callable[[dict[str, Any]], None]], ...] = (
    (f"first run, {USERS} users", declare(USERS)),
    ("run that changes nothing", no_change),
    ("one more user", declare(USERS + 1)),
    (f"{USERS} users rotated", rotate),
)


def measure() -> Iterator[tuple[str, float, float, float]]:
    """Yield the steps, with the seconds of `brokerctl up`, Ansible one by one and at once."""
    with temporary_stack("beside") as stack, playbooks() as both:
        stack.add_commands()
        for step, change in STEPS:
            stack.edit(change)
            settings = stack.settings
            up, _ = stack.command("up", "--yes", timeout=UP_TIMEOUT)
            one_by_one, at_once = (playbook.run(settings) for playbook in both)
            for user in (EXISTING_USER, *(ADDED_USER,) * (ADDED_USER in settings.users)):
                assert stack.accepts_login(user), f"{step}: {user} cannot log in after up"
                generation = settings.users[user].generation
                assert all(playbook.accepts_login(user, generation) for playbook in both), (
                    f"{step}: {user} cannot log in after Ansible"
                )
            yield step, up, one_by_one, at_once
            if change is no_change:
                # Both against the same run of Ansible.
                forced, _ = stack.command("up", "--yes", "--force", timeout=UP_TIMEOUT)
                yield f"{step}, with --force", forced, one_by_one, at_once
                preview, _ = stack.command("preview", timeout=UP_TIMEOUT)
                yield "`preview` that changes nothing", preview, one_by_one, at_once
                forced, _ = stack.command("preview", "--force", timeout=UP_TIMEOUT)
                yield "`preview` that changes nothing, with --force", forced, one_by_one, at_once


def main() -> None:
    """Print rows for the table in docs/explanation/bench.md."""
    for step, up, one_by_one, at_once in measure():
        print(
            f"| Ansible against `brokerctl up`: {step} | {one_by_one / up:.2f} times | "
            f"{one_by_one:.1f} s against {up:.1f} s; {at_once:.1f} s ({at_once / up:.2f} "
            "times) where one `mosquitto_passwd -U` hashes all |"
        )


if __name__ == "__main__":
    main()
