"""Test whether revocations hold while 3,000 idle connections block the listeners."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.clients import free_port
from bench.idle_connections import holding
from bootstrap.broker_image import fallback_image
from bootstrap.docker_daemon import Daemon, ensure_daemon
from broker.credentials.password_hashes import hash_generated, render_passwd
from broker.host.layout import apply_calls, configuration_files, folder_calls, health_environment
from broker.host.script_calls import assemble, render_stdin
from broker.host.transport import DEFAULT_SOCKET
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, DATA_DIR, LOG_DIR, render_conf
from broker.settings.stack_settings import Settings
from cli.stack import ROOT, Stack

ROUNDS = 20
IDLE = 3_000
CONNECTIONS = 1_000
TIMEOUT = 10
"""Seconds for the verification of an apply, instead of 60; idle connections stay longer."""
SUITES = {"2.0": "trixie", "2.1": "forky"}


@dataclass
class Site:
    """A broker in a container, with the settings and passwords of the next apply."""

    settings: Settings
    daemon: Daemon
    image: str
    scripts: Path
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.settings.broker.container

    @property
    def reserved(self) -> bool:
        """Whether the scripts know the reserved listener and `retreat`, unlike version 0.1."""
        return (self.scripts / "lib/narrower_access.sh").exists()

    def run(self, scripts: tuple[str, ...], calls: list[Any]) -> subprocess.CompletedProcess[str]:
        text = assemble(scripts, lambda name: (self.scripts / name).read_text(encoding="utf-8"))
        supported = [call for call in calls if self.reserved or call.words[0] != "retreat"]
        return subprocess.run(
            ["sh", "-s", "apply"],
            input=render_stdin(text, supported),
            capture_output=True,
            text=True,
            check=False,
        )

    def apply(self) -> subprocess.CompletedProcess[str]:
        broker = self.settings.broker
        hashes = hash_generated(
            self.passwords,
            seed="seed",
            generations={name: self.passwords[name] for name in self.passwords},
            iterations=broker.passwords.iterations,
        )
        files = configuration_files(
            broker,
            conf=render_conf(broker, reserved=self.reserved),
            acl=render_acl(self.settings),
            passwd=render_passwd(hashes),
            health_password=self.passwords[broker.health.user],
            seed="seed",
            stamps=remembered(self.settings),
        )
        calls = apply_calls(broker, DEFAULT_SOCKET, self.image, files)
        calls = [
            type(call)(words=(*call.words[:-1], str(TIMEOUT)), text=None)
            if call.words[0] == "broker"
            else call
            for call in calls
        ]
        return self.run(("lib/put_files.sh", "commands/apply_configuration.sh"), calls)

    def start(self) -> None:
        broker = self.settings.broker
        folders = broker.folders
        calls = folder_calls(broker, DEFAULT_SOCKET, self.image)
        assert not self.run(("commands/folders.sh",), calls).returncode
        assert not self.apply().returncode
        mounts = (
            f"{folders.config}:{CONFIG_DIR}:ro",
            f"{folders.data}:{DATA_DIR}",
            f"{folders.log}:{LOG_DIR}",
        )
        reserved = ("--label", f"sentient-mqtt.reserved={broker.reserved_port}")
        self.daemon.ask(
            *("run", "--detach", "--init", "--name", self.name, "--restart", "unless-stopped"),
            *("--user", f"{broker.owner.uid}:{broker.owner.gid}", "--log-opt", "max-size=10m"),
            *("--ulimit", f"nofile={broker.limits.descriptors}"),
            *(word for mount in mounts for word in ("--volume", mount)),
            *(word for variable in health_environment() for word in ("--env", variable)),
            *(reserved if self.reserved else ()),
            *(self.image, "/usr/sbin/mosquitto", "-c", f"{CONFIG_DIR}/{broker.files.conf}"),
        )

    def reason_of(self, user: str, password: str, topic: str = "") -> str:
        """Return the reason of the CONNACK, or with *topic* of the PUBACK; '' without an answer."""
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.username_pw_set(user, password)
        reasons: list[str] = []
        answered = threading.Event()

        def on_answer(_client: Any, _data: Any, _second: Any, reason: Any, *_: Any) -> None:
            # The second argument is the flags in on_connect, and the message ID in on_publish.
            reasons.append(str(reason))
            answered.set()

        client.on_connect = client.on_publish = on_answer
        address = self.daemon.ask(
            "inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.name
        ).strip()
        _, listener = self.settings.broker.mqtt_listener()
        try:
            client.connect(address, listener.port)
        except OSError:
            return ""
        client.loop_start()
        answered.wait(5)
        if topic and reasons == ["Success"]:
            answered.clear()
            client.publish(topic, b"", qos=1)
            answered.wait(5)
        client.loop_stop()
        client.disconnect()
        return reasons[-1] if reasons else ""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while self.reason_of("admin", self.passwords["admin"]) != "Success":
            assert time.monotonic() < deadline, "the broker accepts no login"
            time.sleep(0.2)


@contextlib.contextmanager
def site(line: str, scripts: Path, daemon: Daemon) -> Iterator[Site]:
    """Yield a temporary broker with production's stack file."""
    raw = Stack.read("prod").settings.model_dump(mode="json", by_alias=True)
    with tempfile.TemporaryDirectory() as name:
        raw["broker"] |= {
            "container": f"bench-{secrets.token_hex(4)}",
            "folders": {folder: f"{name}/{folder}" for folder in ("config", "data", "log")},
            "limits": raw["broker"]["limits"] | {"maxConnections": CONNECTIONS, "openFiles": None},
            "backups": None,
            "monitoring": None,
            "envFiles": [],
        }
        for listener in raw["broker"]["listeners"].values():
            listener["port"] = free_port()
        raw["users"] |= {f"leaver-{number}": {"write": ["paragon/#"]} for number in range(ROUNDS)}
        Path(name).chmod(0o755)
        settings = Settings.parse(raw)
        broker_site = Site(settings, daemon, fallback_image(SUITES[line], daemon).name, scripts)
        users = (*settings.users, settings.broker.health.user)
        broker_site.passwords = {user: secrets.token_urlsafe(24) for user in users}
        try:
            broker_site.start()
            broker_site.wait_until_ready()
            yield broker_site
        finally:
            daemon.run("rm", "--force", "--volumes", broker_site.name)


@contextlib.contextmanager
def idle_connections(target: Site) -> Iterator[None]:
    """Hold the idle connections, in a separate process."""
    host = target.daemon.ask("inspect", "--format", "{{.NetworkSettings.IPAddress}}", target.name)
    _, listener = target.settings.broker.mqtt_listener()
    with holding(host.strip(), listener.port, IDLE):
        yield


def revoke(target: Site, number: int) -> bool:
    """Revoke a login, a password and a right; return whether the broker denies all three."""
    raw = target.settings.model_dump(mode="json", by_alias=True)
    leaver, rotated = f"leaver-{number}", "sentient_api_prod"
    of_leaver, old = target.passwords[leaver], target.passwords[rotated]
    del raw["users"][leaver], target.passwords[leaver]
    raw["users"]["paragon_devices"]["write"] = [f"paragon/+/round-{number}"]
    target.settings = Settings.parse(raw)
    target.passwords[rotated] = secrets.token_urlsafe(24)
    began = time.monotonic()
    with idle_connections(target):
        done = target.apply()
    target.wait_until_ready()
    devices = ("paragon_devices", target.passwords["paragon_devices"])
    reasons = (
        target.reason_of(leaver, of_leaver),
        target.reason_of(rotated, old),
        target.reason_of(*devices, topic=f"paragon/room/round-{number - 1}"),
    )
    held = reasons == ("Not authorized",) * 3
    took = time.monotonic() - began
    message = done.stderr.splitlines()[0][:100] if done.stderr else "verified"
    print(
        f"  round {number + 1}: {'holds' if held else reasons}; {took:.0f} s, {message}",
        file=sys.stderr,
    )
    repeated = target.apply()
    assert not repeated.returncode, repeated.stderr
    return held


def main() -> None:
    """Print a row for the table in docs/explanation/bench.md per release line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scripts", type=Path, default=ROOT / "host", help="of another version")
    parser.add_argument("--line", choices=SUITES, action="append", help="default: both")
    options = parser.parse_args()
    assert os.geteuid() == 0, "the host's scripts run as root"
    daemon = ensure_daemon()
    lost = 0
    for line in options.line or SUITES:
        with site(line, options.scripts, daemon) as target:
            held = sum(revoke(target, number) for number in range(ROUNDS))
        print(
            f"| revocations that hold while {IDLE:,} idle connections fill Mosquitto {line} | "
            f"{held} of {ROUNDS} | a login, a password and a right each |",
            flush=True,
        )
        lost += ROUNDS - held
    assert not lost, f"{lost} revocations did not hold"


if __name__ == "__main__":
    main()
