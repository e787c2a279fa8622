"""What was seen of a broker, on its host and from where the check was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from broker.host.facts import HostFacts
from broker.host.script_calls import ScriptCall
from broker.logs.log_parser import LogSummary
from broker.logs.logrotate import log_path, logrotate_path
from broker.settings.broker_settings import Broker
from broker.settings.stack_settings import Settings

LET_IN = "let in"
REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What was seen of a broker, on its host and from where the check was run."""

    host: HostFacts
    image: str = ""
    """The image that ought to run."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What a client with a good login was told, by listener."""
    anonymous: Mapping[str, str] = field(default_factory=dict)
    """What a client without one was told, by listener."""
    guessed: Mapping[str, str] = field(default_factory=dict)
    """What a client with a user's name and another password was told, by listener."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """What each user was told, by name."""
    here: str = ""
    """The address that the broker's network sees this machine by."""
    ages: Mapping[str, int] = field(default_factory=dict)
    """Days since each password is the one it is, by whose it is."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 that each env file ought to have, by path."""
    ends: Mapping[str, str] = field(default_factory=dict)
    """When each listener's certificate ended, as the last `up` put it in place, by name."""
    log: LogSummary | None = None
    """What the log says of the last hour; nothing where nobody could read it."""


def check_calls(settings: Settings) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/observe.sh``, which follow those of
    ``host/commands/probe.sh``.
    """
    broker = settings.broker
    folder = broker.folders.config
    files = broker.files
    words: list[tuple[str, ...]] = [
        ("broker", broker.container),
        *(("file", f"{folder}/{each}") for each in (files.conf, files.acl, files.passwords)),
        ("file", log_path(broker)),
        ("file", logrotate_path(broker)),
        ("file", f"{broker.folders.data}/mosquitto.db"),
        *(("owner", each) for each in (folder, broker.folders.data, broker.folders.log)),
        *(("space", each) for each in written_folders(broker)),
        *((verb, each.path) for each in broker.env_files for verb in ("file", "digest")),
        ("passwords", f"{folder}/{files.passwords}"),
        *(("blocks", f"{folder}/{each}") for each in (files.conf, files.acl)),
        *([("backups", broker.backups.folder, broker.container)] if broker.backups else []),
    ]
    return [ScriptCall(words=each) for each in words]


def written_folders(broker: Broker) -> list[str]:
    """Return the folders that fill up."""
    archives = [broker.backups.folder] if broker.backups else []
    return [broker.folders.data, broker.folders.log, *archives]


def owner(broker: Broker) -> str:
    """Return whom the broker's files belong to, as chown takes it."""
    return f"{broker.owner.uid}:{broker.owner.gid}"


def folder_owner(broker: Broker, folder: str) -> str:
    """Return the owner of *folder*: root, except for the data folder (broker/host/layout.py)."""
    return owner(broker) if folder == broker.folders.data else f"0:{broker.owner.gid}"


def is_text(seen: HostFacts, path: str, text: str) -> bool | None:
    """Return whether the file holds *text*; nothing where nobody could look."""
    said = seen.blocks_digest(path)
    # Pulumi hands objects over with their keys sorted: the order of blocks is not the stack file's.
    return said == blocks_digest(text) if said else None


def blocks_digest(text: str) -> str:
    """Return what ``host/commands/observe.sh`` says of a file with *text*."""
    blocks = sorted(each.replace("\n", "\1") for each in text.strip("\n").split("\n\n"))
    return sha256("".join(f"{each}\n" for each in blocks).encode()).hexdigest()
