"""What a stack needs of its host, and whether the host has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.credentials.env_files import env_file_mark
from broker.findings import PROJECT, Finding, error
from broker.firewall.backend import is_declared, short_name
from broker.host.facts import HostFacts
from broker.host.layout import LOGINS_FILE, folder_looks
from broker.host.script_calls import ScriptCall
from broker.host.transport import Transport
from broker.mosquitto.impact import remembered
from broker.mosquitto.mosquitto_conf import CONFIG_DIR
from broker.settings.stack_settings import Settings
from broker.tls.certificates import probe_words

STAND_IN = "localhost/mosquitto-from-debian:*-trixie"
"""What ``images/`` makes where no registry can be reached. ``localhost/`` can't be pulled."""
EXPORTER_STAND_IN = "localhost/mqtt2prometheus-from-debian:*-trixie"


@dataclass(frozen=True, kw_only=True)
class HostRequirements:
    """What a stack needs of its host, as far as a look at the host can tell."""

    stack: str
    container: str
    image: str
    stand_in: str
    """Images that may take the place of *image*, as a pattern of Docker's; none where empty."""
    exporter: str = ""
    """The exporter's image; empty where none is declared."""
    exporter_stand_in: str = ""
    """As *stand_in*, for the exporter."""
    ports: Mapping[str, int]
    """By path in the stack file."""
    reserved_port: int = 0
    """The reserved listener's, where it is on the host; asked for, and judged by needs.py."""
    folders: Mapping[str, str]
    """By path in the stack file."""
    folder_looks: tuple[tuple[str, ...], ...] = ()
    """The calls that look at them (broker/host/layout.py)."""
    env_files: Mapping[str, str]
    """By path in the stack file."""
    become: str
    logins_file: str = ""
    """Where the host keeps the stamps of the logins that its broker knows."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """The stamp of each login, by name, and of the rules (broker/mosquitto/impact.py)."""
    bridge: str = ""
    """Of the broker's own network; empty where no firewall is declared."""
    certificates: tuple[tuple[str, ...], ...] = ()
    """The calls that look at them (broker/tls/certificates.py)."""


def host_requirements(settings: Settings, stack: str) -> HostRequirements:
    """Return the needs of *stack*, each under the path that the stack file gives it."""
    broker = settings.broker
    exporter = broker.monitoring.image if broker.monitoring else ""
    return HostRequirements(
        stack=stack,
        container=broker.container,
        image=broker.image,
        stand_in=STAND_IN if broker.allow_stand_in else "",
        exporter=exporter,
        exporter_stand_in=EXPORTER_STAND_IN if exporter and broker.allow_stand_in else "",
        ports={
            f"broker.{broker.port_path(name)}.port": each.port
            for name, each in broker.exposed_ports.items()
        },
        reserved_port=broker.reserved_port if broker.network == "host" else 0,
        folders={
            "broker.folders.config": broker.folders.config,
            "broker.folders.data": broker.folders.data,
            "broker.folders.log": broker.folders.log,
            **({"broker.backups.folder": broker.backups.folder} if broker.backups else {}),
        },
        folder_looks=tuple(folder_looks(broker)),
        env_files={
            f"broker.envFiles[{index}].path": each.path
            for index, each in enumerate(broker.env_files)
        },
        become=broker.become,
        logins_file=f"{broker.folders.config}/{LOGINS_FILE}",
        logins=remembered(settings),
        bridge=short_name(broker.container) if is_declared(broker) else "",
        certificates=tuple(probe_words(broker)),
    )


def probe_calls(wanted: HostRequirements, transport: Transport) -> list[ScriptCall]:
    """Return the calls of ``host/commands/probe.sh``."""
    words: list[tuple[str, ...]] = [("host", transport.socket)]
    words += [("image", each) for each in (wanted.image, wanted.exporter) if each]
    words += [("standin", each) for each in (wanted.stand_in, wanted.exporter_stand_in) if each]
    words += [("container", wanted.container)]
    words += [("logins", wanted.logins_file, wanted.container, f"{CONFIG_DIR}/{LOGINS_FILE}")]
    words += [("port", str(each), wanted.stack) for each in wanted.ports.values()]
    words += wanted.folder_looks
    words += [("port", str(wanted.reserved_port), wanted.stack)] if wanted.reserved_port else []
    words += [("envfile", each, env_file_mark(wanted.stack)) for each in wanted.env_files.values()]
    words += [("firewall", wanted.container, wanted.bridge)] if wanted.bridge else []
    words += wanted.certificates
    return [ScriptCall(words=each) for each in words]


def firewall_probe_calls(wanted: HostRequirements, transport: Transport) -> list[ScriptCall]:
    """Return those of ``host/commands/probe.sh`` that ask for the firewall's rules alone."""
    words = (("host", transport.socket), ("firewall", wanted.container, wanted.bridge))
    return [ScriptCall(words=each) for each in words]


def host_errors(wanted: HostRequirements, seen: HostFacts, host: str) -> list[Finding]:
    """Return an error for each thing that would make an ``up`` fail half-way."""
    if seen.docker == "absent":
        return [
            error(
                f"host {host}",
                "the docker command is not there",
                "Install Docker on that host (Debian, Ubuntu: apt-get install docker.io).",
            )
        ]
    if seen.docker != "ok":
        return [
            error(
                f"host {host}",
                f"Docker doesn't answer: {seen.docker}",
                f"Start the daemon, or add the user {seen.login!r} to the group that may "
                "use it (usermod -aG docker ...).",
            )
        ]
    return [
        *_without_root(wanted, seen, host),
        *_foreign_container(wanted, seen),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{port}: that port is in use on the host by {user}",
                "Stop it, or choose another port.",
            )
            for path, port in wanted.ports.items()
            if (user := seen.port_user(port))
        ),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{folder!r}: {problem}",
                "Choose another folder, or mend that one first.",
            )
            for path, folder in wanted.folders.items()
            if (problem := seen.folder_problem(folder))
        ),
        *(
            error(
                f"{PROJECT}:{path}",
                f"{file!r}: {problem}",
                "Move it away, or choose another path: a file that somebody else wrote is never "
                "overwritten.",
            )
            for path, file in wanted.env_files.items()
            if (problem := seen.env_file_problem(file))
        ),
    ]


def _without_root(wanted: HostRequirements, seen: HostFacts, host: str) -> list[Finding]:
    login = seen.login
    if wanted.become != "sudo" or not seen.cannot_be_root:
        return []
    return [
        error(
            f"host {host}",
            f"the user {login!r} is not root and 'sudo -n' is refused. Folders and files of uid "
            "1883 need root",
            f"Allow it in sudoers ({login} ALL=(root) NOPASSWD: ALL), or set broker.become to "
            "'docker'.",
        )
    ]


def _foreign_container(wanted: HostRequirements, seen: HostFacts) -> list[Finding]:
    name, owner = wanted.container, seen.container_owner(wanted.container)
    if owner in (None, wanted.stack):
        return []
    return [
        error(
            f"{PROJECT}:broker.container",
            f"{name!r}: a container of that name is there already and this stack did not make it "
            f"({owner})",
            f"Rename or remove it (docker rename {name} {name}-old), or choose another name.",
        )
    ]
