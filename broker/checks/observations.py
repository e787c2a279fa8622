"""Observations of a broker, on its host and from the machine that runs the check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from broker.host.facts import HostFacts
from broker.host.probe_functions import Observe
from broker.host.script_calls import ScriptCall
from broker.logs.log_parser import LogSummary
from broker.logs.logrotate import log_path, logrotate_path
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings

LET_IN = "let in"
REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Observations of a broker, on its host and from the machine that runs the check."""

    host: HostFacts
    image: str = ""
    """The deployed image."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """The result of a login with the right password, by listener."""
    anonymous: Mapping[str, str] = field(default_factory=dict)
    """The result of a connection without a login, by listener."""
    guessed: Mapping[str, str] = field(default_factory=dict)
    """The result of a login with a wrong password, by listener."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """The result of the login of each user, by name."""
    here: str = ""
    """The address of this machine in the broker's network."""
    ages: Mapping[str, int] = field(default_factory=dict)
    """The age of each password in days, by login."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 of each env file's declared text, by path."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """When the certificate that the last `up` installed expires, by listener."""
    log: LogSummary | None = None
    """The log of the last hour; None if it could not be read."""


def check_calls(settings: Settings) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/observe.sh``, which follow those of
    ``host/commands/probe.sh``.
    """
    broker = settings.broker
    folder = broker.folders.config
    files = broker.files
    return [
        Observe.broker(broker.container),
        *(Observe.file(f"{folder}/{name}") for name in (files.conf, files.acl, files.passwords)),
        Observe.file(log_path(broker)),
        Observe.file(logrotate_path(broker)),
        Observe.file(f"{broker.folders.data}/mosquitto.db"),
        *(Observe.owner(path) for path in (folder, broker.folders.data, broker.folders.log)),
        *(Observe.space(path) for path in written_folders(broker)),
        *(
            call
            for file in broker.env_files
            for call in (Observe.file(file.path), Observe.digest(file.path))
        ),
        Observe.passwords(f"{folder}/{files.passwords}"),
        *(Observe.blocks(f"{folder}/{name}") for name in (files.conf, files.acl)),
        *(
            [Observe.backups(broker.backups.folder, container=broker.container)]
            if broker.backups
            else []
        ),
    ]


def written_folders(broker: Broker) -> list[str]:
    """Return the folders that grow: data, log and backups."""
    archives = [broker.backups.folder] if broker.backups else []
    return [broker.folders.data, broker.folders.log, *archives]


def owner(broker: Broker) -> str:
    """Return the owner of the broker's files, as an argument of chown."""
    return f"{broker.owner.uid}:{broker.owner.gid}"


def folder_owner(broker: Broker, folder: str) -> str:
    """Return the owner of *folder*: root, except for the data folder (broker/host/layout.py)."""
    return owner(broker) if folder == broker.folders.data else f"0:{broker.owner.gid}"


def is_text(facts: HostFacts, path: str, text: str) -> bool | None:
    """Return whether the file contains *text*; None if it was not read."""
    digest = facts.blocks_digest(path)
    # Pulumi sorts the keys of objects, so the order of blocks differs from the stack file.
    return digest == blocks_digest(text) if digest else None


def blocks_digest(text: str) -> str:
    """Return the digest that ``host/commands/observe.sh`` prints for a file with *text*."""
    blocks = sorted(block.replace("\n", "\1") for block in text.strip("\n").split("\n\n"))
    return sha256("".join(f"{block}\n" for block in blocks).encode()).hexdigest()
