"""
Render the scripts of a checkout with their calls, for a stack under attack.

bench/attacks/stack.py runs this file in a separate process whose PYTHONPATH is the checkout. It
reads the values of the stack as JSON from stdin and prints the commands as JSON. Because other
versions have other functions and parameters, every function gets the arguments that its signature
names.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def _module(*names: str) -> Any:
    """Import the first existing module of *names*; the last is that of version 0.1."""
    *newer, oldest = names
    for name in newer:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return importlib.import_module(oldest)


acl_file = _module("broker.mosquitto.acl_file", "broker.acl")
backups = _module("broker.backup.backups", "broker.backup")
certificates = _module("broker.tls.certificates", "broker.certificates")
cron_schedule = _module("broker.settings.cron_schedule", "broker.timetable")
env_files = _module("broker.credentials.env_files", "broker.env")
transport = _module("broker.host.transport", "broker.host")
impact = _module("broker.mosquitto.impact", "broker.effect")
layout = _module("broker.host.layout", "broker.layout")
logrotate = _module("broker.logs.logrotate", "broker.logrotate")
mosquitto_conf = _module("broker.mosquitto.mosquitto_conf", "broker.conf")
node_exporter_metrics = _module("broker.monitoring.node_exporter_metrics", "broker.textfile")
observations = _module("broker.checks.observations", "broker.sight")
password_hashes = _module("broker.credentials.password_hashes", "broker.passwd")
requirements = _module("broker.host.requirements", "broker.wanted")
script_calls = _module("broker.host.script_calls", "broker.delivery")
stack_settings = _module("broker.settings.stack_settings", "broker.settings")
ScriptCall = getattr(script_calls, "ScriptCall", None) or script_calls.Call
render_stdin = getattr(script_calls, "render_stdin", None) or script_calls.deliver
host_requirements = getattr(requirements, "host_requirements", None) or requirements.wanted_of_host
CronSchedule = getattr(cron_schedule, "CronSchedule", None) or cron_schedule.Timetable

ROOT = Path(sys.modules["broker"].__file__ or "").parent.parent

SCRIPTS_OF_0_1 = {
    "lib/put_files.sh": "files.sh",
    "lib/firewall_rules.sh": "rules.sh",
    "lib/key_and_certificate.sh": "pairs.sh",
    "lib/narrower_access.sh": "narrower.sh",
    "commands/apply_configuration.sh": "apply.sh",
    "commands/observe.sh": "check.sh",
    "commands/verify_backup.sh": "drill.sh",
    "commands/delete_files.sh": "erase.sh",
    "commands/prepare_replacement.sh": "guard.sh",
    "commands/close_former_ports.sh": "left.sh",
    "commands/await_ready.sh": "ready.sh",
    "commands/password_ages.sh": "rotations.sh",
    "commands/read_log.sh": "sightings.sh",
    "commands/sign_certificate.sh": "sign.sh",
    "commands/node_exporter_metrics.sh": "textfile.sh",
}
"""The names in version 0.1 of scripts that were renamed since."""


class Renderer:
    """Renders the commands of a stack."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.settings = stack_settings.Settings.parse(given["raw"])
        self.broker = self.settings.broker
        self.way = transport.transport(self.broker.host)
        self.known: dict[str, Any] = {
            **{key: given[key] for key in ("socket", "image", "stack", "seed", "passwords")},
            "broker": self.broker,
            "settings": self.settings,
            "backups": self.broker.backups,
            "transport": self.way,
            "archive": "latest",
            "other": False,
            "identity": "",
            "pairs": {},
            "external": {},
            "digest": "another",
        }

    def call(self, function: Callable[..., Any], **more: Any) -> list[Any]:
        """Call *function* with the arguments that its signature names; return its script calls."""
        known = {**self.known, **more}
        parameters = inspect.signature(function).parameters
        missing = [
            name
            for name, parameter in parameters.items()
            if name not in known and parameter.default is inspect.Parameter.empty
        ]
        if missing:
            raise SystemExit(f"{function.__qualname__}: unknown parameters {', '.join(missing)}")
        keywords = {name: known[name] for name in parameters if name in known}
        result = function(**keywords)
        return [result] if isinstance(result, (ScriptCall, layout.HostFile)) else list(result)

    def command(self, scripts: str, calls: Iterable[Any], action: str = "apply") -> dict[str, Any]:
        names = scripts.split()
        if not (ROOT / "host" / "lib").exists():
            names = [SCRIPTS_OF_0_1.get(name, name.rpartition("/")[2]) for name in names]
        existing = [name for name in names if (ROOT / "host" / name).exists()]
        assemble = getattr(script_calls, "assemble", _joined)
        text = assemble(existing, lambda name: (ROOT / "host" / name).read_text("utf-8"))
        line = self.way.script(action, become="sudo")
        return {
            "argv": [*self.way.interpreter, line],
            "stdin": render_stdin(text, calls),
        }

    def files(self, generation: str) -> list[Any]:
        given = self.given
        hashes = password_hashes.hash_generated(
            given["passwords"],
            seed=given["seed"],
            generations=dict.fromkeys(given["passwords"], generation),
            iterations=self.broker.passwords.iterations,
        )
        return self.call(
            layout.configuration_files,
            conf=mosquitto_conf.render_conf(self.broker),
            acl=acl_file.render_acl(self.settings),
            passwd=password_hashes.render_passwd(hashes),
            health_password=given["passwords"][self.broker.health.user],
            stamps=impact.remembered(self.settings),
        )

    def commands(self) -> dict[str, Any]:
        """Return the argv and the stdin of every command, by name."""
        logs = logrotate.log_path(self.broker)
        required = host_requirements(self.settings, "attack")
        look = [
            *self.call(
                requirements.probe_calls,
                wanted=required,
                required=required,
                read=lambda name: (ROOT / "host" / name).read_text("utf-8"),
            ),
            *self.call(observations.check_calls),
        ]
        database = self.call(layout.database_call)
        archive = self.call(backups.archive_calls)
        drill = self.call(backups.drill_calls)
        ready = self.call(layout.ready_call)
        words = ["sightings", logs, "0", "0"]
        if (ROOT / "host" / "commands" / "read_log.sh").exists():
            words += [self.given["socket"], self.given["image"]]
        sightings = [ScriptCall(words=tuple(words))]
        return {
            "folders": self.command("commands/folders.sh", self.call(layout.folder_calls)),
            "files 1": self.configuration("1"),
            "files 2": self.configuration("2"),
            "certificates 1": self.certificates("1", 397),
            "certificates 2": self.certificates("2", 396),
            "env files": {
                path: self.env_file(index) for index, path in enumerate(self.given["env_files"])
            },
            "guard": self.command(
                "lib/database.sh commands/prepare_replacement.sh", [*database, *self.guard()]
            ),
            "ready": self.command("lib/database.sh commands/await_ready.sh", [*database, *ready]),
            "restart": self.command(
                "lib/database.sh commands/restart.sh commands/await_ready.sh",
                [*database, *ready, ScriptCall(words=("restart", "30"))],
            ),
            "backup": self.command(
                " ".join(getattr(backups, "SCRIPTS", ("commands/backup.sh",))),
                self.call(backups.backup_calls),
            ),
            "drill": self.command(
                "lib/database.sh lib/archive.sh commands/verify_backup.sh", [*archive, *drill]
            ),
            "restore": self.command(
                "lib/database.sh commands/await_ready.sh lib/archive.sh commands/verify_backup.sh "
                "commands/restore.sh",
                [*archive, *drill, *self.call(backups.restore_calls)],
            ),
            "textfile": self.command(
                "commands/node_exporter_metrics.sh",
                self.call(node_exporter_metrics.textfile_calls, folder=self.given["textfile"]),
            ),
            "sightings": self.command("commands/read_log.sh", sightings, "look"),
            "check": self.command(
                "lib/firewall_rules.sh lib/key_and_certificate.sh commands/probe.sh "
                "commands/observe.sh",
                look,
                "look",
            ),
            "sign": self.command("commands/sign_certificate.sh", [self.sign()], "look"),
            "logrotate": self.command(
                "lib/put_files.sh commands/logrotate.sh", self.call(logrotate.logrotate_calls)
            ),
            "schedule": self.schedule(),
            "erase": self.command("commands/delete_files.sh", self.erase()),
        }

    def configuration(self, generation: str) -> dict[str, Any]:
        calls = self.call(layout.apply_calls, files=self.files(generation))
        return self.command("lib/put_files.sh commands/apply_configuration.sh", calls)

    def certificates(self, revision: str, days: int) -> dict[str, Any]:
        raw = json.loads(json.dumps(self.given["raw"]))
        for listener in raw["broker"]["listeners"].values():
            if "tls" in listener:
                listener["tls"] = {"days": days}
        broker = stack_settings.Settings.parse(raw).broker
        calls = self.call(
            certificates.certificate_calls, broker=broker, turn=revision, revision=revision
        )
        return self.command(
            "lib/put_files.sh lib/key_and_certificate.sh commands/apply_configuration.sh "
            "commands/certificates.sh",
            calls,
        )

    def env_file(self, index: int) -> dict[str, Any]:
        file = self.broker.env_files[index]
        password = self.given["passwords"][file.user]
        files = self.call(env_files.host_env_file, file=file, login=file.user, password=password)
        if any((ROOT / "host").rglob("env_file.sh")):
            return self.command("commands/env_file.sh", [file.call("env_file") for file in files])
        return self.command("lib/put_files.sh", [file.call() for file in files])

    def guard(self) -> list[Any]:
        return self.call(layout.guard_call)

    def sign(self) -> Any:
        folder = getattr(certificates, "certificates_folder", None) or certificates.keeps
        words = ("sign", folder(self.broker), "1")
        return ScriptCall(words=words, text=self.given["request"])

    def schedule(self) -> dict[str, Any]:
        # A time that does not occur during a benchmark.
        table = CronSchedule.parse("0 0 29 2 *")
        text = self.command("commands/backups.sh", [])["stdin"]
        timer = backups.backup_timer(
            **{
                name: value
                for name, value in {**self.known, "timetable": table, "script": text}.items()
                if name in inspect.signature(backups.backup_timer).parameters
            }
        )
        return self.command("lib/put_files.sh commands/schedule.sh", timer.calls())

    def erase(self) -> list[Any]:
        data, log = self.given["erased"]
        if hasattr(layout, "erase_calls"):
            raw = json.loads(json.dumps(self.given["raw"]))
            raw["broker"]["folders"] |= {"data": data, "log": log}
            return self.call(layout.erase_calls, broker=stack_settings.Settings.parse(raw).broker)
        return [ScriptCall(words=("erase", folder, self.given["socket"])) for folder in (data, log)]

    def container(self) -> list[str]:
        """Return the arguments of ``docker run`` after the name, as in components/container.py."""
        broker = self.broker
        folders = broker.folders
        mounts = (
            f"{folders.config}:/mosquitto/config:ro",
            f"{folders.data}:/mosquitto/data",
            f"{folders.log}:/mosquitto/log",
        )
        return [
            *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
            *("--user", f"{broker.owner.uid}:{broker.owner.gid}"),
            *(word for mount in mounts for word in ("--volume", mount)),
            *(word for text in layout.health_environment() for word in ("--env", text)),
            *(self.given["image"], "/usr/sbin/mosquitto", "-c"),
            f"/mosquitto/config/{broker.files.conf}",
        ]


def _joined(names: Iterable[str], read: Callable[[str], str]) -> str:
    """Return the concatenated scripts, as in version 0.1."""
    return "".join(read(name) for name in names)


def main() -> None:
    renderer = Renderer(json.load(sys.stdin))
    broker = renderer.broker
    json.dump(
        {
            "commands": renderer.commands(),
            "container": renderer.container(),
            "logrotate": logrotate.logrotate_path(broker),
            "kept": layout.folder_of(broker),
            "files": {"conf": broker.files.conf, "passwords": broker.files.passwords},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
