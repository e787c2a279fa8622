"""A stack of Pulumi.prod.yaml whose folders, ports and state are the test's own."""

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
from witness import PASSPHRASE

from bootstrap.engine import Engine
from broker.credentials.external_secrets import KEYS
from broker.firewall.backend import choose
from broker.firewall.rules import firewall_calls
from broker.host.facts import HostFacts
from broker.host.script_calls import render_stdin
from broker.logs.logrotate import logrotate_path
from broker.settings.stack_settings import PROJECT, Settings

ROOT = Path(__file__).parent.parent.parent
PROGRAM = ("Pulumi.yaml", "__main__.py", "broker", "components", "host")
STACK = "e2e"


@dataclass(frozen=True)
class Done:
    """What came of one call of ``pulumi``."""

    words: tuple[str, ...]
    code: int
    output: str

    @property
    def diagnostics(self) -> str:
        """What the CLI says of an error, without the progress before it."""
        return self.output.partition("Diagnostics:")[2]


@dataclass
class Site:
    name: str
    folder: Path
    container: str
    ports: tuple[int, int]
    engine: Engine
    docker: Callable[..., str]
    said: list[str] = field(default_factory=list, repr=False)
    """All that any command printed, without those that were asked for secrets."""
    former_passwords: list[str] = field(default_factory=list, repr=False)
    promised_at: float = 0.0
    more_environment: dict[str, str] = field(default_factory=dict)
    run_as: tuple[str, ...] = ()
    """Put before ``pulumi``, such as ``setpriv`` with its options."""
    _outputs: dict[str, Any] = field(default_factory=dict, repr=False)
    _outputs_of: int = 0

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def root(self) -> Path:
        """Stands for the host's ``/``."""
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
        """Copy the program, and write its stack file: production's, moved to this machine."""
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
        # A Pulumi that reads Pulumi.yaml's `virtualenv:` finds the one that runs these tests.
        (self.project / ".venv").symlink_to(sys.prefix)
        (self.folder / "passphrase").write_text(f"{PASSPHRASE}\n")
        shutil.copy(ROOT / "Pulumi.prod.yaml", self.stack_file)
        self.edit(self._move)
        self.pulumi("stack", "init", "--no-select", STACK)

    def _move(self, config: dict[str, Any]) -> None:
        broker = config["broker"]
        broker["address"] = "127.0.0.1"
        broker["container"] = self.container
        broker["allowStandIn"] = True
        broker["health"] = {"interval": 2, "retries": 2}
        # Its cron would go on through every test; tests/e2e/test_20_backup.py declares its own.
        del broker["backups"]
        # The same of each minute's figures: tests/e2e/test_23_monitoring.py.
        del broker["monitoring"]
        for listener, port in zip(broker["listeners"].values(), self.ports, strict=True):
            listener |= {"port": port, "bindAddress": "127.0.0.1"}
        broker["folders"] = {key: f"{self.root}{path}" for key, path in broker["folders"].items()}
        for file in broker["envFiles"]:
            file["path"] = f"{self.root}{file['path']}"

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Let *change* work on what the stack file says, by key without the project's name."""
        content = yaml.safe_load(self.stack_file.read_text())
        config = {key.partition(":")[2]: value for key, value in content["config"].items()}
        change(config)
        content["config"] = {f"{PROJECT}:{key}": value for key, value in config.items()}
        self.stack_file.write_text(yaml.safe_dump(content, sort_keys=False))

    @contextmanager
    def edited(self, change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
        """As :meth:`edit`, and back again."""
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
        first = [str(Path(sys.prefix) / "bin"), *map(str, self.engine.bin)]
        return {
            **clean,
            **self.engine.environment,
            "PATH": os.pathsep.join([*first, clean.get("PATH", os.defpath)]),
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
        given: str = "",
        **environment: str,
    ) -> Done:
        """Run ``pulumi``; with *fails* it must not end well. *quiet*: what it says is secret."""
        done = subprocess.run(
            [*self.run_as, "pulumi", "--non-interactive", "--color=never", *words],
            cwd=self.project,
            env={**self.environment(), **environment},
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        if not quiet:
            self.said.append(done.stdout)
        assert (done.returncode != 0) == fails, f"pulumi {' '.join(words)}:\n{done.stdout}"
        return Done(words, done.returncode, done.stdout)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """Start ``pulumi`` as the leader of a process group, and do not wait for its end."""
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
        """Return the outputs, secrets included; asked anew where the state is another one."""
        (checkpoint,) = self.state.glob(".pulumi/stacks/*/*.json")
        stamp = checkpoint.stat().st_mtime_ns
        if stamp != self._outputs_of:
            done = self.stack("output", "--json", "--show-secrets", quiet=True)
            self._outputs, self._outputs_of = json.loads(done.output), stamp
        return self._outputs

    def password(self, user: str) -> str:
        """Return the password of *user*, also of the health check's."""
        if user == self.settings.broker.health.user:
            options = Path(self.settings.broker.folders.config, "health", "mosquitto_sub")
            return options.read_text().split("-P ")[1].strip()
        return str(self.outputs()["credentials"][user]["password"])

    def client(self, user: str, *, websocket: bool = False, **more: Any) -> Client:
        return Client(self.ports[websocket], user, self.password(user), websocket=websocket, **more)

    def until_in(self, user: str) -> Client:
        """Return a client, once the broker that was just started lets it in."""

        def attempt() -> Client | None:
            try:
                return self.client(user)
            except (OSError, Refused):
                return None

        client = eventually(attempt, 20)
        assert isinstance(client, Client)
        return client

    def inspect(self) -> dict[str, Any]:
        """Return what ``docker inspect`` says of the container."""
        (found,) = json.loads(self.docker("inspect", self.container))
        assert isinstance(found, dict)
        return found

    def forget(self) -> None:
        """Take away what lies outside the site's own folder, without `pulumi`: network, rules."""
        if not self.stack_file.exists():
            return
        broker = self.settings.broker
        self.docker("network", "rm", self.container, check=False)
        scripts = ("lib/put_files.sh", "lib/firewall_rules.sh", "commands/firewall.sh")
        text = host_scripts(*scripts)
        calls = firewall_calls(broker, choose(broker, HostFacts(facts={})), "1")
        subprocess.run(
            ["sh", "-s", "remove"], input=render_stdin(text, calls), text=True, check=True
        )
        Path(logrotate_path(broker)).unlink(missing_ok=True)

    def is_there(self) -> bool:
        names = self.docker("ps", "--all", "--format", "{{.Names}}").splitlines()
        return self.container in names

    def files(self) -> dict[str, bytes]:
        """Return the files that the program writes, by path."""
        broker = self.settings.broker
        below = [each for each in Path(broker.folders.config).rglob("*") if each.is_file()]
        files = [*below, *(Path(each.path) for each in broker.env_files)]
        return {str(each): each.read_bytes() for each in files if each.exists()}

    def keep_promises(self) -> None:
        """Leave what has to survive a kill later: a retained message, and one that is queued."""
        self.promised_at = time.time()
        with self.client("sentient_monitor_prod", session="survivor") as survivor:
            survivor.subscribe("paragon/+/events/#")
        with self.client("admin") as admin:
            admin.publish("paragon/room/status/kept", "retained at the start", retain=True)
        with self.client("paragon_devices") as device:
            device.publish("paragon/room/events/kept", "queued at the start")
