"""The settings of a broker whose mosquitto.conf somebody wrote by hand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from broker.adopt.login_files import Notes
from broker.adopt.mosquitto_conf_parser import LOG_TYPES, HandConf, HandListener
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, RESERVED_CONNECTIONS
from broker.settings.base_model import SettingsModel
from broker.settings.broker_settings import FIRST_RESERVED_PORT, Broker, Health, Persistence
from broker.settings.file_settings import Files
from broker.settings.limit_settings import Limits
from broker.settings.logging_settings import Logging
from broker.settings.validators import check_file_name, check_folder

CONTAINER = "mosquitto-shared"
"""As the seed's page names it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the files don't say. What is None is assumed, and remarked."""

    address: str
    config: str
    """The folder on the host in which the files are."""
    container: str | None = None
    data: str | None = None
    log: str | None = None


def adopted_broker(
    conf: str, read: HandConf, place: Place, users: Collection[str], notes: Notes
) -> dict[str, Any]:
    """Return ``broker``, without what is as it is by default; *conf* is the name of the file."""
    listeners = _listeners(conf, read, notes)
    most = [each.most for each in listeners.values() if each.most is not None]
    usual = max(most, default=Limits().max_connections)
    settings = {
        "address": place.address,
        "container": place.container or CONTAINER,
        "folders": _folders(read, place, notes),
        "files": _beside_defaults(Files(), _files(conf, read, notes)),
        "listeners": {
            name: _listener(each, usual, conf, notes) for name, each in listeners.items()
        },
        "limits": _beside_defaults(Limits(), _limits(read, usual, notes)),
        "persistence": _beside_defaults(Persistence(), _persistence(conf, read, notes)),
        "logging": _beside_defaults(Logging(), _logging(read, notes)),
        "health": _health(users, notes),
    }
    if not place.container:
        notes.remarks.append(f"broker.container: {CONTAINER!r}: assumed; --container names another")
    for key in ("host", "image"):
        default = Broker.model_fields[key].default
        notes.remarks.append(f"broker.{key}: {default!r}: assumed; the files don't say it")
    return {key: value for key, value in settings.items() if value}


def _folders(read: HandConf, place: Place, notes: Notes) -> dict[str, str]:
    """Return the host's folders; of data and log the files know at most a container's view."""
    config = PurePosixPath(place.config)
    try:
        check_folder(place.config)
    except ValueError as system:
        config = PurePosixPath("/srv", place.container or CONTAINER, "config")
        notes.remarks.append(
            f"broker.folders.config: {str(config)!r}: assumed, for {place.config!r} {system}. What "
            "is there stays as it is"
        )
    folders = {"config": str(config)}
    log = read.path("log_dest file")
    for key, said, found in (
        ("data", place.data, _on_host(read.path("persistence_location"))),
        ("log", place.log, _on_host(log.parent if log else None)),
    ):
        sibling = key if config.name == "config" else f"{config.name}-{key}"
        folders[key] = said or found or str(config.parent / sibling)
        if not said:
            lost = ", or retained messages and sessions stay behind" if key == "data" else ""
            notes.remarks.append(
                f"broker.folders.{key}: {folders[key]!r}: assumed; give --{key} where it is "
                f"another folder of the host{lost}"
            )
    return folders


def _on_host(folder: PurePosixPath | None) -> str | None:
    """Return *folder* unless it is one that only a container has."""
    if not folder or not folder.is_absolute():
        return None
    inside = PurePosixPath(CONFIG_DIR).parent
    return None if inside in (folder, *folder.parents) else str(folder)


def _files(conf: str, read: HandConf, notes: Notes) -> dict[str, str]:
    passwords, acl = read.path("password_file"), read.path("acl_file")
    names = {"conf": conf, "passwords": passwords and passwords.name, "acl": acl and acl.name}
    return {key: name for key, name in names.items() if name and _fits(name, f"files.{key}", notes)}


def _fits(name: str, key: str, notes: Notes) -> bool:
    try:
        check_file_name(name)
    except ValueError as wrong:
        notes.remarks.append(f"broker.{key}: {name!r}: {wrong}; it gets another name here")
        return False
    return True


def _limits(read: HandConf, usual: int, notes: Notes) -> dict[str, int]:
    directives = {
        "max_queued_messages": "maxQueuedMessages",
        "max_inflight_messages": "maxInflightMessages",
        "max_packet_size": "maxPacketSize",
    }
    figures = {key: _figure(read, each, Limits, key, notes) for each, key in directives.items()}
    return {"maxConnections": usual, **figures}


def _persistence(conf: str, read: HandConf, notes: Notes) -> dict[str, Any]:
    if not _truth(read, "persistence", notes):
        notes.remarks.append(
            f"{conf}: persistence is off, so a restart forgets retained messages and sessions; "
            "here they are always written, to broker.folders.data"
        )
    return {
        "autosaveInterval": _figure(
            read, "autosave_interval", Persistence, "autosaveInterval", notes
        ),
        "autosaveOnChanges": _truth(read, "autosave_on_changes", notes),
    }


def _logging(read: HandConf, notes: Notes) -> dict[str, Any]:
    logging: dict[str, Any] = {}
    if read.log_types is not None:
        logging["types"] = [each for each in LOG_TYPES if each in read.log_types] or ["error"]
    log = read.path("log_dest file")
    if log and _fits(log.name, "logging.file", notes):
        logging["file"] = log.name
    return logging


def _health(users: Collection[str], notes: Notes) -> dict[str, str]:
    usual = Health().user
    if usual not in users:
        return {}
    other = next(each for n in count(2) if (each := f"{usual}-{n}") not in users)
    notes.remarks.append(f"broker.health.user: {other!r}: assumed, as {usual!r} is a user of yours")
    return {"user": other}


PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""Networks that no packet of the internet comes from (RFC 1918)."""
PRIVATE_6 = "fc00::/7"
"""The same for IPv6 (RFC 4193)."""


def _without_reserved(found: list[HandListener], notes: Notes) -> Iterator[HandListener]:
    """Yield what is not the listener that ``broker.conf.render_conf`` adds for questions."""
    for listener in found:
        if listener.line is not None and (
            (listener.address, listener.protocol) == ("127.0.0.1", "mqtt")
            and listener.port >= FIRST_RESERVED_PORT
            and listener.most == RESERVED_CONNECTIONS
        ):
            notes.remark(listener.line, "is the reserved listener of this program, which adds it")
        else:
            yield listener


def _listeners(conf: str, read: HandConf, notes: Notes) -> dict[str, HandListener]:
    """Return the listeners by name."""
    found = list(read.listeners)
    default = read.default
    if default.line is not None:
        same = next((each for each in found if each.port == default.port), None)
        if same is None:
            found.insert(0, default)
            if not read.directly:
                notes.remark(
                    default.line,
                    "stands above the first 'listener', so Mosquitto listens on port 1883 too, and "
                    "still will; take that listener out if nobody meant it",
                )
        else:
            same.most = same.most or default.most
            notes.remark(
                default.line, f"stands above the listeners; taken for that of port {default.port}"
            )
    elif not found:
        found = [HandListener(address="127.0.0.1")]
        notes.remarks.append(
            f"{conf}: has no listener, so Mosquitto answers this machine alone, on port 1883, and "
            "still will; say broker.listeners otherwise"
        )
    listeners: dict[str, HandListener] = {}
    for each in _without_reserved(found, notes):
        if each.line is not None and _not_for_us(each, notes):
            continue
        kind = "websocket" if each.protocol == "websockets" else "mqtt"
        name = f"{kind}-{each.port}" if kind in listeners else kind
        if any(each.port == other.port for other in listeners.values()) and each.line:
            notes.error(
                each.line,
                "a second listener on this port; name one of them, with the address 0.0.0.0 if "
                "both are meant",
            )
        listeners[name] = each
    if not any(each.protocol == "mqtt" for each in listeners.values()):
        notes.errors.append(
            f"{conf}: no listener speaks plain MQTT, which the health check needs; add one: "
            "listener 1883 127.0.0.1"
        )
    notes.remarks.append(
        f"broker.listeners: {', '.join(str(each.port) for each in listeners.values())}: assumed to "
        "be ports of the host too; a container may have been published on others"
    )
    return listeners


def _not_for_us(listener: HandListener, notes: Notes) -> bool:
    """Say whether this listener can't be had, and remark it: in clear it would be another one."""
    why = ""
    if listener.encrypted:
        why = (
            "is encrypted: declare it yourself, with tls: {certificate: ..., key: ...}, by the "
            "paths that its files have on the host"
        )
    elif listener.port == 0:
        why = "is a socket in the file system, which is not expressed"
    elif listener.protocol not in ("mqtt", "websockets"):
        why = f"speaks {listener.protocol!r}, which is not expressed"
    if why and listener.line:
        notes.remark(listener.line, f"this listener {why}; not adopted: nobody will answer there")
    return bool(why)


def _listener(listener: HandListener, usual: int, conf: str, notes: Notes) -> dict[str, Any]:
    settings: dict[str, Any] = {"port": listener.port}
    if listener.protocol != "mqtt":
        settings["protocol"] = listener.protocol
    address = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(listener.address, listener.address)  # noqa: S104 (what Mosquitto does)
    try:
        ip_address(address)
    except ValueError:
        if listener.line:
            notes.error(
                listener.line,
                f"{listener.address!r} is a name; put the IP address there that it stands for",
            )
    if address != "0.0.0.0":  # noqa: S104 (the default)
        settings["bindAddress"] = address
    networks = [*PRIVATE, *([PRIVATE_6] if ":" in address else [])]
    if address not in ("127.0.0.1", "::1"):
        settings["allowFrom"] = networks.copy()
        notes.remarks.append(
            f"broker.listeners: port {listener.port}: allowFrom {', '.join(networks)}: assumed; "
            "the files don't say who may reach it, and nobody else will: name your own networks"
        )
    if listener.most is None:
        notes.remarks.append(
            f"{conf}: listener {listener.port} has no max_connections, so no limit; here it is "
            f"{usual:,} (broker.limits.maxConnections)"
        )
    elif listener.most != usual:
        settings["maxConnections"] = listener.most
    return settings


def _figure(
    read: HandConf, directive: str, model: type[SettingsModel], key: str, notes: Notes
) -> int:
    """Return what *directive* says, within the bounds of the setting that says it."""
    bounds = model.model_json_schema()["properties"][key]
    least, most = int(bounds["minimum"]), int(bounds["maximum"])
    if directive not in read.values:
        # Mosquitto 2.0's own; 2.1 has 2,000,000 for the packets.
        unsaid = {"autosave_interval": 1800, "max_packet_size": most}
        return unsaid.get(directive, int(bounds["default"]))
    line, text = read.values[directive]
    if not re.fullmatch(r"-?[0-9]{1,12}", text):
        notes.error(line, "wants a whole number: 2.0 reads the digits it begins with, 2.1 stops")
        return least
    number = int(text)
    if number <= 0 and directive != "max_packet_size":
        notes.remark(line, f"no limit; here it is {most:,}, the largest there is")
        return most
    if number < least:
        notes.error(line, f"must be at least {least:,}: Mosquitto doesn't start")
    elif number > most:
        notes.remark(line, f"here it is {most:,}, the largest there is")
    return min(number, most)


def _truth(read: HandConf, directive: str, notes: Notes) -> bool:
    if directive not in read.values:
        return False
    line, text = read.values[directive]
    if text not in ("true", "1", "false", "0"):
        notes.error(line, "must be true or false: Mosquitto doesn't start")
    return text in ("true", "1")


def _beside_defaults(defaults: SettingsModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    usual = defaults.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in settings.items() if value != usual[key]}
