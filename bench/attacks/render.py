"""
The scripts of a checkout with their calls, for a stack under attack.

Run by bench/attacks/stack.py in a process of its own whose PYTHONPATH is that checkout: reads what
is known of the stack as JSON on stdin, prints the commands as JSON. Another version may name its
functions' parameters otherwise: each is given those that it asks for, by name.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from broker import (
    acl,
    backup,
    certificates,
    conf,
    delivery,
    effect,
    env,
    host,
    layout,
    logrotate,
    passwd,
    settings,
    sight,
    textfile,
    timetable,
    wanted,
)

ROOT = Path(settings.__file__).parent.parent


class Renderer:
    """What is known of a stack, and the calls made of it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.settings = settings.Settings.parse(given["raw"])
        self.broker = self.settings.broker
        self.way = host.transport(self.broker.host)
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
            "digest": "another",
        }

    def call(self, function: Callable[..., Any], **more: Any) -> list[Any]:
        """Return the calls that *function* makes of what it asks for."""
        known = {**self.known, **more}
        asked = inspect.signature(function).parameters
        missing = [
            name
            for name, parameter in asked.items()
            if name not in known and parameter.default is inspect.Parameter.empty
        ]
        if missing:
            raise SystemExit(f"{function.__qualname__}: asks for {', '.join(missing)}")
        keywords = {name: known[name] for name in asked if name in known}
        made = function(**keywords)
        return [made] if isinstance(made, (delivery.Call, layout.HostFile)) else list(made)

    def command(self, scripts: str, calls: Iterable[Any], action: str = "apply") -> dict[str, Any]:
        names = scripts.split()
        there = [name for name in names if (ROOT / "host" / name).exists()]
        assemble = getattr(delivery, "assemble", _joined)
        text = assemble(there, lambda name: (ROOT / "host" / name).read_text("utf-8"))
        line = self.way.script(action, become="sudo")
        return {
            "argv": [*self.way.interpreter, line],
            "stdin": delivery.deliver(text, calls),
        }

    def files(self, generation: str) -> list[Any]:
        given = self.given
        hashes = passwd.hash_generated(
            given["passwords"],
            seed=given["seed"],
            generations=dict.fromkeys(given["passwords"], generation),
            iterations=self.broker.passwords.iterations,
        )
        return self.call(
            layout.configuration_files,
            conf=conf.render_conf(self.broker),
            acl=acl.render_acl(self.settings),
            passwd=passwd.render_passwd(hashes),
            health_password=given["passwords"][self.broker.health.user],
            stamps=effect.remembered(self.settings),
        )

    def commands(self) -> dict[str, Any]:
        """Return each command: how it is run and what it reads."""
        logs = logrotate.log_path(self.broker)
        look = [
            *self.call(wanted.probe_calls, wanted=wanted.wanted_of_host(self.settings, "attack")),
            *self.call(sight.check_calls),
        ]
        database = self.call(layout.database_call)
        archive = self.call(backup.archive_calls)
        drill = self.call(backup.drill_calls)
        ready = self.call(layout.ready_call)
        words = ["sightings", logs, "0", "0"]
        if "BYTES SOCKET IMAGE" in (ROOT / "host" / "sightings.sh").read_text("utf-8"):
            words += [self.given["socket"], self.given["image"]]
        sightings = [delivery.Call(words=tuple(words))]
        return {
            "folders": self.command("folders.sh", self.call(layout.folder_calls)),
            "files 1": self.configuration("1"),
            "files 2": self.configuration("2"),
            "certificates 1": self.certificates("1", 397),
            "certificates 2": self.certificates("2", 396),
            "env files": {
                path: self.env_file(index) for index, path in enumerate(self.given["env_files"])
            },
            "guard": self.command("database.sh guard.sh", [*database, *self.guard()]),
            "ready": self.command("database.sh ready.sh", [*database, *ready]),
            "restart": self.command(
                "database.sh restart.sh ready.sh",
                [*database, *ready, delivery.Call(words=("restart", "30"))],
            ),
            "backup": self.command(
                " ".join(getattr(backup, "SCRIPTS", ("backup.sh",))), self.call(backup.backup_calls)
            ),
            "drill": self.command("database.sh archive.sh drill.sh", [*archive, *drill]),
            "restore": self.command(
                "database.sh ready.sh archive.sh drill.sh restore.sh",
                [*archive, *drill, *self.call(backup.restore_calls)],
            ),
            "textfile": self.command(
                "textfile.sh", self.call(textfile.textfile_calls, folder=self.given["textfile"])
            ),
            "sightings": self.command("sightings.sh", sightings, "look"),
            "check": self.command("rules.sh pairs.sh probe.sh check.sh", look, "look"),
            "sign": self.command("sign.sh", [self.sign()], "look"),
            "logrotate": self.command(
                "files.sh logrotate.sh", self.call(logrotate.logrotate_calls)
            ),
            "schedule": self.schedule(),
            "erase": self.command("erase.sh", self.erase()),
        }

    def configuration(self, generation: str) -> dict[str, Any]:
        calls = self.call(layout.apply_calls, files=self.files(generation))
        return self.command("files.sh apply.sh", calls)

    def certificates(self, turn: str, days: int) -> dict[str, Any]:
        raw = json.loads(json.dumps(self.given["raw"]))
        for listener in raw["broker"]["listeners"].values():
            if "tls" in listener:
                listener["tls"] = {"days": days}
        broker = settings.Settings.parse(raw).broker
        calls = self.call(certificates.certificate_calls, broker=broker, turn=turn)
        return self.command("files.sh pairs.sh apply.sh certificates.sh", calls)

    def env_file(self, index: int) -> dict[str, Any]:
        file = self.broker.env_files[index]
        password = self.given["passwords"][file.user]
        made = self.call(env.host_env_file, file=file, login=file.user, password=password)
        if (ROOT / "host" / "env_file.sh").exists():
            return self.command("env_file.sh", [each.call("env_file") for each in made])
        return self.command("files.sh", [each.call() for each in made])

    def guard(self) -> list[Any]:
        return self.call(layout.guard_call)

    def sign(self) -> Any:
        words = ("sign", certificates.keeps(self.broker), "1")
        return delivery.Call(words=words, text=self.given["request"])

    def schedule(self) -> dict[str, Any]:
        # Not due while a bench runs.
        table = timetable.Timetable.parse("0 0 29 2 *")
        text = self.command("backup.sh", [])["stdin"]
        timer = backup.backup_timer(
            **{
                name: value
                for name, value in {**self.known, "timetable": table, "script": text}.items()
                if name in inspect.signature(backup.backup_timer).parameters
            }
        )
        return self.command("files.sh schedule.sh", timer.calls())

    def erase(self) -> list[Any]:
        data, log = self.given["erased"]
        if hasattr(layout, "erase_calls"):
            raw = json.loads(json.dumps(self.given["raw"]))
            raw["broker"]["folders"] |= {"data": data, "log": log}
            return self.call(layout.erase_calls, broker=settings.Settings.parse(raw).broker)
        return [
            delivery.Call(words=("erase", folder, self.given["socket"])) for folder in (data, log)
        ]

    def container(self) -> list[str]:
        """Return the words of ``docker run`` behind its name, as the component has them."""
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
    """Return the scripts one after the other, as version 0.1 does."""
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
