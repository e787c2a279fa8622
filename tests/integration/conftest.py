"""Fixtures with a real Mosquitto of both release lines, started on rendered files."""

from __future__ import annotations

import copy
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from busybox_host import link_tools
from host_scripts import host_scripts
from mqtt import Client, Refused
from ports import free_port

from broker.credentials.password_hashes import hash_generated, render_passwd
from broker.host.layout import (
    apply_calls,
    configuration_files,
    folder_calls,
    health_environment,
    health_test,
)
from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.transport import transport
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings
from broker.tls.certificates import certificate_calls

ROOT = Path(__file__).parent.parent.parent
SUITES = {"2.0": "trixie", "2.1": "forky"}
BUSYBOX = "2.1"
"""The release line whose scripts run with the tools of a BusyBox host (tests/busybox_host.py)."""
PATH = os.environ["PATH"]

Change = Callable[[dict[str, Any]], None]


@dataclass
class Running:
    """A broker in a container, and the settings and passwords for its next change of files."""

    settings: Settings
    passwords: dict[str, str]
    docker: Callable[..., str]
    image: str
    generations: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    tools: str = PATH
    """The folders of the host's programs."""

    @property
    def broker(self) -> Broker:
        return self.settings.broker

    @property
    def port(self) -> int:
        return self.broker.listeners["mqtt"].port

    def script(
        self, names: str, action: str, calls: list[ScriptCall]
    ) -> subprocess.CompletedProcess[str]:
        """Run scripts of ``host/``, one after the other, in one shell."""
        text = host_scripts(*names.split())
        way = transport(self.broker.host)
        return subprocess.run(
            [*way.interpreter, way.script(action, become="sudo")],
            input=render_stdin(text, calls),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            # A test may put a program of its own before the others.
            env={**os.environ, "PATH": os.environ["PATH"].replace(PATH, self.tools)},
        )

    def apply_calls(self, *, acl: str | None = None) -> list[ScriptCall]:
        """Return the calls of host/commands/apply_configuration.sh for the present settings."""
        hashes = hash_generated(
            self.passwords,
            seed="seed",
            generations={name: self.generations.get(name, "1") for name in self.passwords},
            iterations=self.broker.passwords.iterations,
        )
        files = configuration_files(
            self.broker,
            conf=render_conf(self.broker, reserved=True),
            acl=render_acl(self.settings) if acl is None else acl,
            passwd=render_passwd(hashes | self.hashes),
            health_password=self.passwords[self.broker.health.user],
            seed="seed",
            stamps=remembered(self.settings),
        )
        return apply_calls(self.broker, "unix:///var/run/docker.sock", self.image, files)

    def put_files(self, *, acl: str | None = None) -> subprocess.CompletedProcess[str]:
        """Put the files in place; *acl* replaces the rendered rules, for tests of invalid ones."""
        return self.script(
            "lib/put_files.sh commands/apply_configuration.sh", "apply", self.apply_calls(acl=acl)
        )

    def put_certificates(self, action: str = "apply") -> subprocess.CompletedProcess[str]:
        """Put the certificates of the listeners in place, if there are any."""
        calls = certificate_calls(self.broker, "unix:///var/run/docker.sock", {})
        return self.script(
            (
                "lib/put_files.sh lib/key_and_certificate.sh commands/apply_configuration.sh "
                "commands/certificates.sh"
            ),
            action,
            calls,
        )

    def start(self) -> None:
        calls = folder_calls(self.broker, "unix:///var/run/docker.sock", self.image)
        assert self.script("commands/folders.sh", "apply", calls).returncode == 0
        if self.broker.tls_listeners:
            done = self.put_certificates()
            assert done.returncode == 0, done.stderr
        done = self.put_files()
        assert done.returncode == 0, done.stderr
        self.docker(*self.container())
        self.await_answer()

    def container(self, *more: str, conf: str = "") -> list[str]:
        """Return the arguments of ``docker`` that start the container, with *more* options."""
        folders = self.broker.folders
        mounts = (
            f"{folders.config}:/mosquitto/config:ro",
            f"{folders.data}:/mosquitto/data",
            f"{folders.log}:/mosquitto/log",
        )
        return [
            *("run", "--detach", "--name", self.broker.container, "--restart", "unless-stopped"),
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("--user", f"{self.broker.owner.uid}:{self.broker.owner.gid}"),
            *("--ulimit", f"nofile={self.broker.limits.descriptors}"),
            *(word for mount in mounts for word in ("--volume", mount)),
            *("--label", f"sentient-mqtt.reserved={self.broker.reserved_port}"),
            *(word for variable in health_environment() for word in ("--env", variable)),
            *(
                word
                for listener in self.broker.listeners.values()
                for word in ("--publish", f"127.0.0.1:{listener.port}:{listener.port}")
            ),
            *(*more, self.image, "/usr/sbin/mosquitto", "-c"),
            f"/mosquitto/config/{conf or self.broker.files.conf}",
        ]

    def replace(self) -> None:
        """Replace the container, as the Docker provider does."""
        self.docker("stop", "--time", "30", self.broker.container)
        self.docker("rm", self.broker.container)
        self.docker(*self.container())

    def state(self) -> str:
        return self.docker(
            "inspect", "--format", "{{.State.Status}}", self.broker.container
        ).strip()

    def await_answer(self) -> None:
        """Wait until the broker admits a user."""
        name = next(iter(self.settings.users))
        deadline = time.monotonic() + 120
        while True:
            try:
                self.client(name).close()
            except (OSError, Refused, TimeoutError):
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.1)
            else:
                return

    def client(self, name: str, *, websocket: bool = False, **more: Any) -> Client:
        port = self.broker.listeners["websocket"].port if websocket else self.port
        return Client(port, name, self.passwords[name], websocket=websocket, **more)

    def log(self) -> str:
        return self.docker("logs", self.broker.container, check=False)

    def health_check(self) -> str:
        """Run the command of the container's health check; return what it receives."""
        _, *command = health_test(self.broker)
        return self.docker("exec", self.broker.container, *command)

    def files(self) -> dict[str, bytes]:
        folder = Path(self.broker.folders.config)
        return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Start = Callable[..., Running]


@pytest.fixture(scope="session", params=SUITES)
def line(request: pytest.FixtureRequest) -> str:
    """Return a release line of Mosquitto."""
    return str(request.param)


@pytest.fixture(scope="session")
def image(line: str, fallback_image: Callable[[str], str]) -> str:
    """Return an image of that release line."""
    name = fallback_image(SUITES[line])
    assert f":{line}." in name
    return name


@pytest.fixture(scope="session")
def tools(line: str) -> Iterator[str]:
    """Return the folders of the host's programs."""
    with tempfile.TemporaryDirectory(prefix="sentient-mqtt-busybox-") as folder:
        Path(folder).chmod(0o755)
        yield str(link_tools(Path(folder, "bin"))) if line == BUSYBOX else PATH


@pytest.fixture(scope="module")
def start(
    image: str, tools: str, docker: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """
    Return ``start(change)``, which starts a broker of Pulumi.prod.yaml after *change*.

    Only ports and folders differ, because two brokers on one machine can't share them.
    """
    started: list[Running] = []

    def made(
        change: Change = lambda _raw: None, passwords: Mapping[str, str] | None = None
    ) -> Running:
        settings = settings_on_this_machine(tmp_path_factory.mktemp("broker"), change)
        users = [*settings.users, settings.broker.health.user]
        given = {user: (passwords or {}).get(user) or secrets.token_urlsafe(24) for user in users}
        running = Running(settings, given, docker, image, tools=tools)
        started.append(running)
        running.start()
        return running

    yield made
    for running in started:
        name = running.broker.container
        docker("rm", "--force", "--volumes", name, f"{name}-former", check=False)
        if running.broker.tls_listeners:
            # The only files of a broker outside the test's own folder.
            running.put_certificates("remove")


def settings_on_this_machine(folder: Path, change: Change) -> Settings:
    content = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())
    raw = {key.partition(":")[2]: value for key, value in content["config"].items()}
    raw = copy.deepcopy(raw)
    raw["broker"]["container"] = f"integration-{secrets.token_hex(4)}"
    raw["broker"]["folders"] = {name: str(folder / name) for name in ("config", "data", "log")}
    raw["broker"]["backups"]["folder"] = str(folder / "backups")
    # A change may remove its user; tests/integration/test_exporter.py declares its own.
    del raw["broker"]["monitoring"]
    for listener in raw["broker"]["listeners"].values():
        listener["port"] = free_port()
    change(raw)
    return Settings.parse(raw)
