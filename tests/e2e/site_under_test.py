"""A stack of Pulumi.prod.yaml with folders, ports and a state of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from host_scripts import host_scripts
from mqtt import Client, Refused
from patience import eventually
from process_watcher import PASSPHRASE

from bootstrap.pulumi_engine import Engine
from broker.credentials.external_secrets import KEYS
from broker.firewall.backend import choose
from broker.firewall.rules import firewall_calls
from broker.host.facts import HostFacts
from broker.host.script_calls import render_stdin
from broker.logs.logrotate import logrotate_path
from broker.settings.stack_settings import PROJECT, Settings
from cli.deployment_state import state_file

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ("Pulumi.yaml", "__main__.py", "broker", "components", "host")
STACK = "e2e"


@dataclass(frozen=True)
class Done:
    """The result of one call of ``pulumi``."""

    words: tuple[str, ...]
    code: int
    output: str

    @property
    def diagnostics(self) -> str:
        """The CLI's messages, without the progress display before them."""
        return self.output.partition("Diagnostics:")[2]


@dataclass
class Site:
    name: str
    folder: Path
    container: str
    ports: tuple[int, int]
    engine: Engine
    docker: Callable[..., str]
    printed: list[str] = field(default_factory=list, repr=False)
    """The output of every command, except of commands that print secrets on purpose."""
    former_passwords: list[str] = field(default_factory=list, repr=False)
    published_at: float = 0.0
    """When ``publish_durable_messages`` ran."""
    more_environment: dict[str, str] = field(default_factory=dict)
    run_as: tuple[str, ...] = ()
    """Words before ``pulumi``, such as ``setpriv`` with its options."""
    _outputs: dict[str, Any] = field(default_factory=dict, repr=False)
    _outputs_of: int = 0

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def root(self) -> Path:
        """The folder that takes the place of the host's ``/``."""
        return self.folder / "root"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def stack_file(self) -> Path:
        return self.project / f"Pulumi.{STACK}.yaml"

    @property
    def settings(self) -> Settings:
        config = yaml.safe_load(self.stack_file.read_text())["config"]
        raw = {key.partition(":")[2]: value for key, value in config.items()}
        return Settings.parse({k: value for k, value in raw.items() if k not in KEYS})

    def lay_out(self) -> None:
        """Copy the program, and write production's stack file with local folders and ports."""
        for path in (self.project, self.root, self.state):
            path.mkdir(parents=True)
        for name in PROGRAM:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(
                    source, self.project / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(source, self.project / name)
        # Pulumi.yaml's `virtualenv:` is the environment that runs these tests.
        (self.project / ".venv").symlink_to(sys.prefix)
        (self.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
        shutil.copy(ROOT / "Pulumi.prod.yaml", self.stack_file)
        self.edit(self._make_local)
        self.pulumi("stack", "init", "--no-select", STACK)

    def _make_local(self, config: dict[str, Any]) -> None:
        broker = config["broker"]
        broker["address"] = "127.0.0.1"
        broker["container"] = self.container
        broker["allowStandIn"] = True
        broker["health"] = {"interval": 2, "retries": 2}
        # Its timer would run during every test; test_20_backup.py declares a schedule of its own.
        del broker["backups"]
        # It would run every minute; test_23_monitoring.py declares it.
        del broker["monitoring"]
        for listener, port in zip(broker["listeners"].values(), self.ports, strict=True):
            listener |= {"port": port, "bindAddress": "127.0.0.1"}
        broker["folders"] = {key: f"{self.root}{path}" for key, path in broker["folders"].items()}
        for file in broker["envFiles"]:
            file["path"] = f"{self.root}{file['path']}"

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Apply *change* to the stack file's settings, by key without the project's name."""
        content = yaml.safe_load(self.stack_file.read_text())
        config = {key.partition(":")[2]: value for key, value in content["config"].items()}
        change(config)
        content["config"] = {f"{PROJECT}:{key}": value for key, value in config.items()}
        self.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @contextmanager
    def edited(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """Edit the stack file as :meth:`edit` does, and restore it after the block."""
        before = self.stack_file.read_text()
        self.edit(change)
        try:
            yield
        finally:
            self.stack_file.write_text(before)

    def environment(self) -> Mapping[str, str]:
        clean = {
            key: value
            for key, value in os.environ.items()
            if key == "PULUMI_HOME" or not key.startswith(("PULUMI_", "DOCKER_"))
        }
        path = [str(Path(sys.prefix) / "bin"), *map(str, self.engine.bin)]
        return {
            **clean,
            **self.engine.environment,
            "PATH": os.pathsep.join([*path, clean.get("PATH", os.defpath)]),
            "PULUMI_BACKEND_URL": self.state.as_uri(),
            "PULUMI_CREDENTIALS_PATH": str(self.folder / "credentials"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **self.more_environment,
        }

    def pulumi(
        self,
        *words: str,
        fails: bool = False,
        quiet: bool = False,
        stdin: str = "",
        **environment: str,
    ) -> Done:
        """
        Run ``pulumi``; with *fails*, its exit code must not be 0.

        *quiet*: do not record the output, because it contains secrets.
        """
        done = subprocess.run(
            [*self.run_as, "pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.project,
            env={**self.environment(), **environment},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        if not quiet:
            self.printed.append(done.stdout)
        assert (done.returncode != 0) == fails, f"pulumi {' '.join(words)}:\n{done.stdout}"
        return Done(words, done.returncode, done.stdout)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start ``pulumi`` as the leader of a process group, and return without waiting for it."""
        return subprocess.Popen(
            ["pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.project,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def up(self, *words: str, **more: Any) -> Done:
        return self.pulumi("up", "--yes", "--skip-preview", "--stack", STACK, *words, **more)

    def preview(self, *words: str, **more: Any) -> Done:
        return self.pulumi("preview", "--stack", STACK, *words, **more)

    def refresh(self, *words: str, **more: Any) -> Done:
        return self.pulumi("refresh", "--yes", "--skip-preview", "--stack", STACK, *words, **more)

    def destroy(self, **more: Any) -> Done:
        self.pulumi("state", "unprotect", "--all", "--yes", "--stack", STACK)
        return self.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK, **more)

    def stack(self, *words: str, **more: Any) -> Done:
        return self.pulumi("stack", *words, "--stack", STACK, **more)

    def outputs(self) -> dict[str, Any]:
        """Return the outputs with their secrets; they are read again when the state has changed."""
        checkpoint = state_file(self.state, STACK)
        assert checkpoint is not None
        changed_at = checkpoint.stat().st_mtime_ns
        if changed_at != self._outputs_of:
            done = self.stack("output", "--json", "--show-secrets", quiet=True)
            self._outputs, self._outputs_of = json.loads(done.output), changed_at
        return self._outputs

    def password(self, user: str) -> str:
        """Return the password of *user*, or of the health check's user."""
        if user == self.settings.broker.health.user:
            options = Path(self.settings.broker.folders.config, "health", "mosquitto_sub")
            return options.read_text().split("-P ")[1].strip()
        return str(self.outputs()["credentials"][user]["password"])

    def client(self, user: str, *, websocket: bool = False, **more: Any) -> Client:
        return Client(self.ports[websocket], user, self.password(user), websocket=websocket, **more)

    def eventually_client(self, user: str) -> Client:
        """Return a client as soon as the broker, which is starting, accepts its login."""

        def attempt() -> Client | None:
            try:
                return self.client(user)
            except (OSError, Refused):
                return None

        client = eventually(attempt, 20)
        assert isinstance(client, Client)
        return client

    def inspect(self) -> dict[str, Any]:
        """Return the container's ``docker inspect``."""
        (container,) = json.loads(self.docker("inspect", self.container))
        assert isinstance(container, dict)
        return container

    def forget(self) -> None:
        """Remove, without `pulumi`, the site's network, firewall rules, logrotate file, record."""
        if not self.stack_file.exists():
            return
        broker = self.settings.broker
        self.docker("network", "rm", self.container, check=False)
        scripts = ("lib/put_files.sh", "lib/firewall_rules.sh", "commands/firewall.sh")
        text = host_scripts(*scripts)
        calls = firewall_calls(broker, choose(broker, HostFacts(facts={})))
        subprocess.run(
            ["sh", "-s", "remove"], input=render_stdin(text, calls), text=True, check=True
        )
        Path(logrotate_path(broker)).unlink(missing_ok=True)
        shutil.rmtree(f"/etc/sentient-mqtt/{self.container}", ignore_errors=True)

    def is_there(self) -> bool:
        names = self.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
        return self.container in names

    def files(self) -> dict[str, bytes]:
        """Return the content of the files that the program writes, by path."""
        broker = self.settings.broker
        config = [path for path in Path(broker.folders.config).rglob("*") if path.is_file()]
        paths = [*config, *(Path(env_file.path) for env_file in broker.env_files)]
        return {str(path): path.read_bytes() for path in paths if path.exists()}

    def publish_durable_messages(self) -> None:
        """Publish a retained message and a queued one, which test_13_survival.py expects back."""
        self.published_at = time.time()
        with self.client("sentient_monitor_prod", session="survivor") as survivor:
            survivor.subscribe("paragon/+/events/#")
        with self.client("admin") as admin:
            admin.publish("paragon/room/status/kept", "retained at the start", retain=True)
        with self.client("paragon_devices") as device:
            device.publish("paragon/room/events/kept", "queued at the start")
