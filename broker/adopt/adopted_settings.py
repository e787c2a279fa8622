"""Convert an existing mosquitto.conf to broker settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import count
from pathlib import PurePosixPath
from typing import Any

from broker.adopt.login_files import Notes
from broker.adopt.mosquitto_conf_parser import INTEGER, LOG_TYPES, ConfFile, ConfListener
from broker.mosquitto.mosquitto_conf import CONFIG_DIR, RESERVED_CONNECTIONS
from broker.settings.base_model import SettingsModel
from broker.settings.broker_settings import FIRST_RESERVED_PORT, Broker, Health, Persistence
from broker.settings.file_settings import Files
from broker.settings.limit_settings import Limits
from broker.settings.logging_settings import Logging
from broker.settings.validators import check_file_name, check_folder

CONTAINER = "mosquitto-shared"
"""The name in the manual setup guide."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Facts about the broker that are not in its files; None is replaced by a default."""

    address: str
    config: str
    """The folder of the files on the host."""
    container: str | None = None
    image: str | None = None
    """The image that runs now; its release line decides how its files are read."""
    data: str | None = None
    log: str | None = None


def adopted_broker(
    conf: str,
    conf_file: ConfFile,
    listeners: Mapping[str, ConfListener],
    *,
    place: Place,
    users: Collection[str],
    files: Mapping[str, str],
    notes: Notes,
) -> dict[str, Any]:
    """
    Return the setting ``broker`` without defaults.

    *conf* is the name of the file, *files* has those of the passwords and rules.
    """
    limits = [
        listener.max_connections
        for listener in listeners.values()
        if listener.max_connections is not None
    ]
    usual = max(limits, default=Limits().max_connections)
    settings = {
        "address": place.address,
        "container": place.container or CONTAINER,
        "image": None if place.image == default_image() else place.image,
        "folders": _folders(conf_file, place, notes),
        "files": _beside_defaults(Files(), _files({"conf": conf, **files}, notes)),
        "listeners": {
            name: _listener(listener, usual, conf, notes) for name, listener in listeners.items()
        },
        "limits": _beside_defaults(Limits(), _limits(conf_file, usual, notes)),
        "persistence": _beside_defaults(Persistence(), _persistence(conf, conf_file, notes)),
        "logging": _beside_defaults(Logging(), _logging(conf_file, notes)),
        "health": _health(users, notes),
    }
    if not place.container:
        notes.remarks.append(f"broker.container: {CONTAINER!r}: assumed; --container names another")
    for key, known in (("host", None), ("image", place.image)):
        default = Broker.model_fields[key].default
        if known is None:
            notes.remarks.append(f"broker.{key}: {default!r}: assumed; the files do not contain it")
    return {key: value for key, value in settings.items() if value}


def default_image() -> str:
    """Return the image of a stack file that names none."""
    return str(Broker.model_fields["image"].default)


def _folders(conf_file: ConfFile, place: Place, notes: Notes) -> dict[str, str]:
    """Return the folders on the host; paths that exist only in a container are replaced."""
    config = PurePosixPath(place.config)
    try:
        check_folder(place.config)
    except ValueError as error:
        config = PurePosixPath("/srv", place.container or CONTAINER, "config")
        notes.remarks.append(
            f"broker.folders.config: {str(config)!r}: assumed, because {place.config!r} {error}. "
            "The files there are not changed"
        )
    folders = {"config": str(config)}
    log = conf_file.path("log_dest file")
    for key, given, found in (
        ("data", place.data, _on_host(conf_file.path("persistence_location"))),
        ("log", place.log, _on_host(log.parent if log else None)),
    ):
        sibling = key if config.name == "config" else f"{config.name}-{key}"
        folders[key] = given or found or str(config.parent / sibling)
        if not given:
            loss = ", or retained messages and sessions are lost" if key == "data" else ""
            notes.remarks.append(
                f"broker.folders.{key}: {folders[key]!r}: assumed; give --{key} if the host has "
                f"another folder{loss}"
            )
    return folders


def _on_host(folder: PurePosixPath | None) -> str | None:
    """Return *folder*, or None if it exists only in a container."""
    if not folder or not folder.is_absolute():
        return None
    inside = PurePosixPath(CONFIG_DIR).parent
    return None if inside in (folder, *folder.parents) else str(folder)


def _files(paths: Mapping[str, str], notes: Notes) -> dict[str, str]:
    names = {key: PurePosixPath(path).name for key, path in paths.items()}
    return {key: name for key, name in names.items() if _fits(name, f"files.{key}", notes)}


def _fits(name: str, key: str, notes: Notes) -> bool:
    try:
        check_file_name(name)
    except ValueError as error:
        notes.remarks.append(f"broker.{key}: {name!r}: {error}; the default name is used")
        return False
    return True


def _limits(conf_file: ConfFile, usual: int, notes: Notes) -> dict[str, int]:
    directives = {
        "max_queued_messages": "maxQueuedMessages",
        "max_inflight_messages": "maxInflightMessages",
        "max_packet_size": "maxPacketSize",
    }
    numbers = {
        key: _number(conf_file, directive, Limits, key, notes)
        for directive, key in directives.items()
    }
    return {"maxConnections": usual, **numbers}


def _persistence(conf: str, conf_file: ConfFile, notes: Notes) -> dict[str, Any]:
    if not _boolean(conf_file, "persistence"):
        notes.remarks.append(
            f"{conf}: persistence is off, so a restart deletes retained messages and sessions; "
            "here they are always stored, in broker.folders.data"
        )
    return {
        "autosaveInterval": _number(
            conf_file, "autosave_interval", Persistence, "autosaveInterval", notes
        ),
        "autosaveOnChanges": _boolean(conf_file, "autosave_on_changes"),
    }


def _logging(conf_file: ConfFile, notes: Notes) -> dict[str, Any]:
    logging: dict[str, Any] = {}
    if conf_file.log_types is not None:
        logging["types"] = [
            log_type for log_type in LOG_TYPES if log_type in conf_file.log_types
        ] or ["error"]
    log = conf_file.path("log_dest file")
    if log and _fits(log.name, "logging.file", notes):
        logging["file"] = log.name
    return logging


def _health(users: Collection[str], notes: Notes) -> dict[str, str]:
    usual = Health().user
    if usual not in users:
        return {}
    other = next(name for n in count(2) if (name := f"{usual}-{n}") not in users)
    notes.remarks.append(
        f"broker.health.user: {other!r}: assumed, because {usual!r} is an adopted user"
    )
    return {"user": other}


PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
"""The private networks (RFC 1918)."""
PRIVATE_6 = "fc00::/7"
"""The same for IPv6 (RFC 4193)."""


def _without_reserved(found: list[ConfListener], notes: Notes) -> Iterator[ConfListener]:
    """Yield the listeners except the reserved one, which ``render_conf`` adds."""
    for listener in found:
        if listener.line is not None and (
            (listener.address, listener.protocol) == ("127.0.0.1", "mqtt")
            and listener.port >= FIRST_RESERVED_PORT
            and listener.max_connections == RESERVED_CONNECTIONS
        ):
            notes.remark(listener.line, "is the reserved listener, which this program adds itself")
        else:
            yield listener


def adopted_listeners(conf: str, conf_file: ConfFile, notes: Notes) -> dict[str, ConfListener]:
    """Return the listeners that are adopted, by name."""
    listeners: dict[str, ConfListener] = {}
    for listener in _without_reserved(_opened(conf, conf_file, notes), notes):
        if listener.line is not None and _is_unsupported(listener, notes):
            continue
        kind = "websocket" if listener.protocol == "websockets" else "mqtt"
        name = f"{kind}-{listener.port}" if kind in listeners else kind
        if any(listener.port == other.port for other in listeners.values()) and listener.line:
            notes.error(
                listener.line,
                "a second listener on this port; keep one of them, with the address 0.0.0.0 if "
                "both addresses are needed",
            )
        listeners[name] = listener
    if not any(listener.protocol == "mqtt" for listener in listeners.values()):
        notes.errors.append(
            f"{conf}: no listener has plain MQTT, which the health check needs; add one: "
            "listener 1883 127.0.0.1"
        )
    ports = ", ".join(str(listener.port) for listener in listeners.values())
    notes.remarks.append(
        f"broker.listeners: {ports}: assumed to be the ports of the host, too; a container may "
        "have been published on others"
    )
    return listeners


def _opened(conf: str, conf_file: ConfFile, notes: Notes) -> list[ConfListener]:
    """Return the listeners that Mosquitto opens (config__parse_args and listeners__start)."""
    default = conf_file.default
    if conf_file.local_only:
        return [_local_listener(conf, conf_file, notes)]
    if not conf_file.default_opened or default.line is None:
        return list(conf_file.listeners)
    same = next(
        (listener for listener in conf_file.listeners if listener.port == default.port), None
    )
    if same is not None:
        same.max_connections = same.max_connections or default.max_connections
        for key, value in default.lines.items():
            same.lines.setdefault(key, value)
        notes.remark(
            default.line, f"is above the listeners; applied to the one of port {default.port}"
        )
        return list(conf_file.listeners)
    if not conf_file.default_requested:
        notes.remark(
            default.line,
            "is above the first 'listener', so Mosquitto listens on port 1883, too; that listener "
            "is adopted. Remove it if it was not intended",
        )
    return [default, *conf_file.listeners]


def _local_listener(conf: str, conf_file: ConfFile, notes: Notes) -> ConfListener:
    """Return the listener of a file without one: Mosquitto ignores the lines for listeners."""
    if conf_file.default.line is not None:
        notes.remark(
            conf_file.default.line,
            "has no effect without a 'listener' line, except before 2.0.12, where it opened port "
            "1883 for every address",
        )
    notes.remarks.append(
        f"{conf}: has no listener, so Mosquitto listens on port 1883 of this machine only, and "
        "continues to, on 127.0.0.1 and no longer on ::1; change broker.listeners if other "
        "machines are to connect"
    )
    if conf_file.security.anonymous is None:
        notes.remarks.append(
            f"{conf}: has neither a listener nor allow_anonymous, so clients without a login may "
            "connect; they will be refused. Declare a user for each of them"
        )
    return ConfListener(address="127.0.0.1", security=conf_file.default.security)


def _is_unsupported(listener: ConfListener, notes: Notes) -> bool:
    """
    Return whether this listener can't be adopted, and add a remark.

    An encrypted listener is not adopted in plain text.
    """
    reason = ""
    if listener.encrypted:
        reason = (
            "is encrypted: declare it yourself, with tls: {certificate: ..., key: ...} and the "
            "paths of the files on the host"
        )
    elif listener.port == 0:
        reason = "is a Unix domain socket, which is not supported"
    elif listener.protocol not in ("mqtt", "websockets"):
        reason = f"has the protocol {listener.protocol!r}, which is not supported"
    elif "enable_proxy_protocol" in listener.lines:
        reason = "expects the PROXY protocol, which is not supported"
    if reason and listener.line:
        notes.remark(listener.line, f"not adopted, the port will be closed: this listener {reason}")
    return bool(reason)


def _note_wider(listener: ConfListener, address: str, notes: Notes) -> None:
    """Report lines without which more clients would reach the port, or its clients more topics."""
    for key, reason in (
        (
            "bind_interface",
            "not supported, and without it the port is open on every interface: remove this line, "
            "and give the listener the interface's address: listener PORT ADDRESS",
        ),
        (
            "mount_point",
            "not supported, and without it topics of this listener lose their prefix, so that its "
            "clients would reach topics outside: add the prefix to the clients' topics, then "
            "remove this line",
        ),
    ):
        if key in listener.lines:
            notes.error(listener.lines[key][0], reason)
    line, domain = listener.lines.get("socket_domain", (listener.line, ""))
    try:
        parsed = ip_address(address)
    except ValueError:
        return
    only_6 = isinstance(parsed, IPv6Address) and parsed.is_unspecified
    if line and (only_6 or (domain == "ipv6" and isinstance(parsed, IPv4Address))):
        notes.error(
            line,
            "Mosquitto listens on IPv6 only here, and broker.listeners has no such address ('::' "
            "is both), so IPv4 would be opened: write an IPv6 address of the host, or remove the "
            "address and socket_domain if IPv4 may be open, too",
        )


def _listener(listener: ConfListener, usual: int, conf: str, notes: Notes) -> dict[str, Any]:
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
                f"{listener.address!r} is a name; write its IP address instead",
            )
    _note_wider(listener, address, notes)
    if address != "0.0.0.0":  # noqa: S104 (the default)
        settings["bindAddress"] = address
    networks = [*PRIVATE, *([PRIVATE_6] if ":" in address else [])]
    if address not in ("127.0.0.1", "::1"):
        settings["allowFrom"] = networks.copy()
        lost = "" if listener.address else ", and no client over IPv6 (bindAddress '::' is both)"
        notes.remarks.append(
            f"broker.listeners: port {listener.port}: allowFrom {', '.join(networks)}: assumed, "
            "because the files do not restrict clients; no other network can connect"
            f"{lost}. Set your own networks"
        )
    if listener.max_connections is None:
        notes.remarks.append(
            f"{conf}: listener {listener.port} has no max_connections, so no limit; here the limit "
            f"is {usual:,} (broker.limits.maxConnections)"
        )
    elif listener.max_connections != usual:
        settings["maxConnections"] = listener.max_connections
    return settings


def _number(
    conf_file: ConfFile, directive: str, model: type[SettingsModel], key: str, notes: Notes
) -> int:
    """Return the value of *directive*, limited to the bounds of the setting *key*."""
    bounds = model.model_json_schema()["properties"][key]
    minimum, maximum = int(bounds["minimum"]), int(bounds["maximum"])
    if directive not in conf_file.values:
        # The defaults of Mosquitto 2.0; 2.1 has a max_packet_size of 2,000,000.
        defaults = {"autosave_interval": 1800, "max_packet_size": maximum}
        return defaults.get(directive, int(bounds["default"]))
    line, text = conf_file.values[directive]
    if not INTEGER.fullmatch(text):
        notes.error(line, "must be an integer: 2.0 reads the leading digits, 2.1 does not start")
        return minimum
    number = int(text)
    if number <= 0 and directive != "max_packet_size":
        notes.remark(line, f"no limit; here the limit is {maximum:,}, the highest possible value")
        return maximum
    if number < minimum:
        notes.error(line, f"must be at least {minimum:,}: Mosquitto doesn't start")
    elif number > maximum:
        notes.remark(line, f"here it is {maximum:,}, the highest possible value")
    return min(number, maximum)


def _boolean(conf_file: ConfFile, directive: str) -> bool:
    if directive not in conf_file.values:
        return False
    return conf_file.values[directive][1] in ("true", "1")


def _beside_defaults(defaults: SettingsModel, settings: Mapping[str, Any]) -> dict[str, Any]:
    usual = defaults.model_dump(mode="json", by_alias=True)
    return {key: value for key, value in settings.items() if value != usual[key]}
