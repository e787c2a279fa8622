"""A broker with production's files for benchmarks, in a container or directly on the host."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.clients import Address, Client, free_port
from bootstrap.broker_image import FALLBACK_SUITE, fallback_image
from bootstrap.docker_daemon import Daemon
from broker.credentials.password_hashes import SALT_BYTES, hash_password, render_passwd
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR, render_conf
from broker.settings.broker_settings import Broker
from cli.stack import Stack

PUBLISHES, RECEIVES = "paragon_devices", "sentient_api_prod"
PASSWORD = "not-a-secret-on-a-loopback"  # noqa: S105
TIMEOUT = 60.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running broker: its address and its process ID."""

    name: str
    address: Address
    pid: int


@contextmanager
def folders(iterations: int | None = None, **limits: int) -> Iterator[tuple[Broker, Path]]:
    """
    Yield production's files in a temporary folder, with the paths that they have in the container.

    *limits* override those of production.
    """
    settings = Stack.read("prod").settings
    listeners = {
        name: listener.model_copy(update={"port": free_port()})
        for name, listener in settings.broker.listeners.items()
    }
    limited = settings.broker.limits.model_copy(update=limits)
    broker = settings.broker.model_copy(update={"listeners": listeners, "limits": limited})
    hashed = hash_password(PASSWORD, bytes(SALT_BYTES), iterations or broker.passwords.iterations)
    texts = {
        broker.files.conf: render_conf(broker),
        broker.files.acl: render_acl(settings),
        broker.files.passwords: render_passwd(dict.fromkeys((PUBLISHES, RECEIVES), hashed)),
    }
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for directory in (CONFIG_DIR, DATA_DIR, LOG_DIR):
            folder = root / directory.removeprefix("/")
            folder.mkdir(parents=True)
            os.chown(folder, broker.owner.uid, broker.owner.gid)
        for file, text in texts.items():
            path = root / CONFIG_DIR.removeprefix("/") / file
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            os.chown(path, broker.owner.uid, broker.owner.gid)
        yield broker, root


@contextmanager
def in_a_container(broker: Broker, root: Path, daemon: Daemon) -> Iterator[Running]:
    """
    Start a container like that of the deployment; its address is that on Docker's bridge.

    A port published on 127.0.0.1 would add Docker's userland proxy, which no remote client uses,
    and which needs two of its 20,000 files per connection.
    """
    name = f"bench-{secrets.token_hex(4)}"
    words = (
        *("run", "--detach", "--name", name, "--user", f"{broker.owner.uid}:{broker.owner.gid}"),
        *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
        *("--ulimit", f"nofile={broker.limits.descriptors}", "--log-driver", "json-file"),
        *("--log-opt", f"max-size={broker.logging.max_size}"),
        *("--log-opt", f"max-file={broker.logging.max_files}"),
        *("--volume", f"{root}{CONFIG_DIR}:{CONFIG_DIR}:ro"),
        *("--volume", f"{root}{DATA_DIR}:{DATA_DIR}", "--volume", f"{root}{LOG_DIR}:{LOG_DIR}"),
        *(fallback_image(FALLBACK_SUITE, daemon).name, *command(broker)),
    )
    try:
        daemon.ask(*words)
        yield running_container(broker, name, daemon)
    finally:
        daemon.run("rm", "--force", "--volumes", name)


def running_container(broker: Broker, name: str, daemon: Daemon) -> Running:
    """Return the current address and process ID of a container; a start may change them."""
    template = "{{.State.Pid}} {{.NetworkSettings.IPAddress}}"
    pid, host = daemon.ask("inspect", "--format", template, name).split()
    return Running(name=name, address=address(broker, host), pid=int(pid))


@contextmanager
def bare(broker: Broker, root: Path, daemon: Daemon) -> Iterator[Running]:
    """Start the Mosquitto of the image with its libraries in *root*, without a container."""
    name = f"bench-{secrets.token_hex(4)}"
    try:
        daemon.ask("create", "--name", name, fallback_image(FALLBACK_SUITE, daemon).name)
        files = subprocess.Popen(daemon.argv("export", name), stdout=subprocess.PIPE)
        with files:
            subprocess.run(
                ["tar", "-x", "-C", root, "--exclude=mosquitto/*"], stdin=files.stdout, check=True
            )
    finally:
        daemon.run("rm", "--force", "--volumes", name)
    conf = root / CONFIG_DIR.removeprefix("/") / broker.files.conf
    text = conf.read_text(encoding="utf-8")
    for listener in broker.listeners.values():
        text = text.replace(f"listener {listener.port}\n", f"listener {listener.port} 127.0.0.1\n")
    conf.write_text(text, encoding="utf-8")
    user = f"--userspec={broker.owner.uid}:{broker.owner.gid}"
    with (root / "stdout").open("wb") as sink:
        process = subprocess.Popen(["chroot", user, root, *command(broker)], stdout=sink)
    try:
        yield Running(name=name, address=address(broker, "127.0.0.1"), pid=process.pid)
    finally:
        process.kill()
        process.wait()


def command(broker: Broker) -> tuple[str, ...]:
    return ("/usr/sbin/mosquitto", "-c", f"{CONFIG_DIR}/{broker.files.conf}")


def address(broker: Broker, host: str) -> Address:
    _, listener = broker.mqtt_listener()
    return Address(host=host, port=listener.port, user=PUBLISHES, password=PASSWORD)


async def wait_until_ready(address: Address) -> None:
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                client = await Client.dial(address, "first")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                client.abort()
                return
