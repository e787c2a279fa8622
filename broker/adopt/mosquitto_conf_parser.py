"""Parse an existing mosquitto.conf and the files that it includes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import get_args

from broker.adopt.login_files import Line, Notes, lines_of, split
from broker.settings.logging_settings import LogType

BRIDGE = (
    *("address", "addresses", "bridge_alpn", "bridge_attempt_unsubscribe", "bridge_bind_address"),
    *("bridge_cafile", "bridge_capath", "bridge_certfile", "bridge_ciphers"),
    *("bridge_ciphers_tls1.3", "bridge_identity", "bridge_insecure", "bridge_keyfile"),
    *("bridge_max_packet_size", "bridge_max_topic_alias", "bridge_outgoing_retain"),
    *("bridge_protocol_version", "bridge_psk", "bridge_receive_maximum", "bridge_reload_type"),
    *("bridge_require_ocsp", "bridge_session_expiry_interval", "bridge_tcp_keepalive"),
    *("bridge_tcp_user_timeout", "bridge_tls_use_os_certs", "bridge_tls_version", "cleansession"),
    *("clientid", "idle_timeout", "keepalive_interval", "local_cleansession", "local_clientid"),
    *("local_password", "local_username", "notification_topic", "notifications"),
    *("notifications_local_only", "password", "remote_clientid", "remote_password"),
    *("remote_username", "restart_timeout", "round_robin", "start_type", "threshold", "topic"),
    *("try_private", "username"),
)
"""Directives that belong to the ``connection`` above them."""

TLS = (
    *("cafile", "capath", "certfile", "ciphers", "ciphers_tls1.3", "crlfile", "dhparamfile"),
    *("disable_client_cert_date_checks", "keyfile", "psk_hint", "require_certificate"),
    *("tls_engine", "tls_engine_kpass_sha1", "tls_keyform", "tls_version"),
    *("use_identity_as_username", "use_subject_as_username"),
)

PLUGIN = (
    *("auth_plugin", "auth_plugin_deny_special_chars", "global_plugin", "plugin", "plugin_load"),
    "plugin_use",
)

LISTENER = (
    *("bind_interface", "max_qos", "maximum_qos", "mount_point", "socket_domain"),
    "use_username_as_clientid",
)
"""Directives, like ``TLS``, of the listener above them; without one, of the default listener."""

OTHER = (
    *("accept_protocol_versions", "allow_anonymous", "allow_duplicate_messages"),
    *("allow_zero_length_clientid", "auto_id_prefix", "check_retain_source", "clientid_prefixes"),
    *("connection_messages", "enable_control_api", "enable_proxy_protocol", "global_max_clients"),
    *("global_max_connections", "http_dir", "listener_allow_anonymous"),
    *("listener_auto_id_prefix", "log_facility", "log_timestamp", "log_timestamp_format"),
    *("max_inflight_bytes", "max_keepalive", "max_queued_bytes", "max_topic_alias"),
    *("max_topic_alias_broker", "memory_limit", "message_size_limit", "packet_buffer_size"),
    *("per_listener_settings", "persistence_file", "persistent_client_expiration", "pid_file"),
    *("proxy_protocol_v2_require_tls", "psk_file", "queue_qos0_messages", "retain_available"),
    *("retain_expiry_interval", "retry_interval", "set_tcp_nodelay", "sys_interval"),
    *("upgrade_outgoing_qos", "user", "websockets_headers_size", "websockets_log_level"),
    "websockets_origin",
)

READ = (
    *("acl_file", "autosave_interval", "autosave_on_changes", "bind_address"),
    *("connection", "include_dir", "listener", "log_dest", "log_type", "max_connections"),
    *("max_inflight_messages", "max_packet_size", "max_queued_messages", "password_file"),
    *("persistence", "persistence_location", "port", "protocol", "retained_persistence"),
)

DIRECTIVES = (*READ, *BRIDGE, *LISTENER, *TLS, *PLUGIN, *OTHER)
"""All directives of 2.0.22 and 2.1.2 (src/conf.c), except ``plugin_opt_*`` and ``auth_opt_*``."""

REDUNDANT = {
    "allow_anonymous": "false",
    "allow_zero_length_clientid": "true",
    "auto_id_prefix": "auto-",
    "check_retain_source": "false",
    "connection_messages": "true",
    "listener_allow_anonymous": "false",
    "log_timestamp": "true",
    "log_timestamp_format": "%Y-%m-%dT%H:%M:%S",
    "max_inflight_bytes": "0",
    "max_qos": "2",
    "max_queued_bytes": "0",
    "memory_limit": "0",
    "per_listener_settings": "false",
    "persistence_file": "mosquitto.db",
    "queue_qos0_messages": "false",
    "require_certificate": "false",
    "retain_available": "true",
    "set_tcp_nodelay": "false",
    "sys_interval": "10",
    "upgrade_outgoing_qos": "false",
    "use_identity_as_username": "false",
    "use_subject_as_username": "false",
    "use_username_as_clientid": "false",
    "user": "mosquitto",
}
"""Lines without effect: defaults of Mosquitto, or lines that this program always writes."""

FIXES = {
    "allow_anonymous": "clients without a login will be refused; declare a user for each of them",
    "listener_allow_anonymous": "clients without a login will be refused; declare a user for them",
    "bind_interface": "not supported; the listener is on every interface, unless you set "
    "broker.listeners.NAME.bindAddress",
    "mount_point": "not supported: topics of this listener lose their prefix; add it to the "
    "users' filters and the clients' topics",
    "per_listener_settings": "not supported: every listener has the same users and rules",
    "persistence_file": "not supported: rename the file to mosquitto.db, in broker.folders.data",
    "user": "not supported; set broker.owner.uid and broker.owner.gid to the ids of this user",
}

LOG_TYPES: tuple[str, ...] = get_args(LogType)
MAX_CONNECTIONS = 1_000_000
"""The maximum of ``broker.limits.maxConnections``."""


@dataclass(kw_only=True)
class ConfListener:
    """A ``listener`` and the lines below it; or the default listener and the lines above all."""

    line: Line | None = None
    port: int = 1883
    protocol: str = "mqtt"
    address: str = ""
    max_connections: int | None = None
    encrypted: bool = False


@dataclass(kw_only=True)
class ConfFile:
    """The parsed file."""

    values: dict[str, tuple[Line, str]] = field(default_factory=dict)
    """Line and value by directive, without those of listeners."""
    log_types: list[str] | None = None
    default: ConfListener = field(default_factory=ConfListener)
    default_requested: bool = False
    """Whether ``port`` or ``bind_address`` requests the default listener."""
    listeners: list[ConfListener] = field(default_factory=list)

    def path(self, directive: str) -> PurePosixPath | None:
        """Return the value of *directive* as a path."""
        entry = self.values.get(directive)
        return PurePosixPath(entry[1]) if entry else None


def read_conf(file: str, texts: Mapping[str, str], notes: Notes) -> ConfFile:
    """Parse *file* and the files that it includes. *texts* are by name, relative to *file*."""
    conf = ConfFile()
    _Reader(conf, texts, notes).read(file, included=False)
    return conf


@dataclass
class _Reader:
    conf: ConfFile
    texts: Mapping[str, str]
    notes: Notes

    def read(self, file: str, *, included: bool) -> None:
        # Every file begins without a listener and a bridge (config__read_file_core).
        listener = self.conf.default
        bridge: list[Line] = []
        comments: list[Line] = []
        for line in lines_of(file, self.texts[file]):
            key, value = split(line.text)
            if line.text.startswith("#"):
                comments.append(line)
            elif not key:
                continue
            elif key == "connection":
                self._note_bridge(bridge)
                bridge = [line]
            elif key in BRIDGE and bridge:
                bridge.append(line)
            elif key == "listener":
                listener = self._listener(line, value)
            elif key == "include_dir" and not included:
                self._include(line, value)
            else:
                self._take(line, key, value, listener)
        self._note_bridge(bridge)
        if comments:
            self.notes.remark(comments[0], f"{len(comments):,} comments are not adopted", "#")

    def _include(self, line: Line, value: str) -> None:
        folder = PurePosixPath(value).name
        found = [
            path
            for path in self.texts
            if str(PurePosixPath(path).parent) == folder
            and path.endswith(".conf")
            and len(PurePosixPath(path).name) > len(".conf")
        ]
        if not found:
            self.notes.remark(line, f"the folder {folder!r} beside this file contains no *.conf")
        for path in sorted(found, key=_as_mosquitto_sorts):
            self.read(path, included=True)

    def _listener(self, line: Line, value: str) -> ConfListener:
        port, address, *_ = [*value.split(), "", ""]
        listener = ConfListener(line=line, address="" if address.startswith("#") else address)
        listener.port = self._number(line, port, 0, 65_535)
        self.conf.listeners.append(listener)
        return listener

    def _take(self, line: Line, key: str, value: str, listener: ConfListener) -> None:
        option = key.startswith(("plugin_opt_", "auth_opt_"))
        if not option and key not in DIRECTIVES:
            self._note_unknown(line, key)
        elif key in BRIDGE:
            self.notes.error(line, "must follow a 'connection' line: Mosquitto doesn't start", key)
        elif not value and not option:
            self.notes.error(line, "has no value; add one or remove the line")
        elif key in ("port", "bind_address", "protocol", "max_connections"):
            self._take_for_listener(line, key, value, listener)
        elif key in ("log_type", "log_dest"):
            self._take_for_log(line, key, value)
        elif key in READ:
            self._take_value(line, key, value)
        else:
            self._note_unexpressed(line, key, value, listener)

    def _note_unexpressed(self, line: Line, key: str, value: str, listener: ConfListener) -> None:
        if {"1": "true", "0": "false"}.get(value, value) == REDUNDANT.get(key):
            return
        if key in TLS or key in LISTENER:
            listener.encrypted |= key in ("certfile", "psk_hint")
            listener.line = listener.line or line
        # The value of a plugin option or a TLS key may be a password.
        option = key.startswith(("plugin_opt_", "auth_opt_"))
        quoted = key if option or key == "tls_engine_kpass_sha1" else None
        self.notes.remark(line, FIXES.get(key, "not supported"), quoted)

    def _take_value(self, line: Line, key: str, value: str) -> None:
        if key == "include_dir":
            self.notes.remark(line, "Mosquitto ignores include_dir in an included file")
        elif key in ("password_file", "acl_file") and key in self.conf.values:
            self.notes.error(
                line,
                f"a second {key}: users and rules are the same for all listeners; merge the files "
                "into one",
            )
        else:
            # The last occurrence applies.
            self.conf.values[key.replace("retained_persistence", "persistence")] = (line, value)

    def _take_for_listener(self, line: Line, key: str, value: str, listener: ConfListener) -> None:
        # These two configure the default listener, wherever they are.
        if key in ("port", "bind_address"):
            listener, self.conf.default_requested = self.conf.default, True
        if (key, value) not in (("protocol", "mqtt"), ("max_connections", "-1")):
            listener.line = listener.line or line
        if key == "port":
            listener.port = self._number(line, value, 1, 65_535)
        elif key == "bind_address":
            listener.address = value
        elif key == "protocol" and value not in ("mqtt", "websockets", "http_api"):
            self.notes.error(line, "is no protocol: Mosquitto doesn't start; remove it")
        elif key == "protocol":
            listener.protocol = value
        else:
            # 0 and -1 are no limit.
            limit = self._number(line, value, -1, MAX_CONNECTIONS)
            listener.max_connections = limit if limit > 0 else None

    def _take_for_log(self, line: Line, key: str, value: str) -> None:
        word, rest = split(value)
        if key == "log_dest":
            if word == "file" and not rest:
                self.notes.error(line, "names no file; add one or remove the line")
            elif word == "file":
                self.conf.values["log_dest file"] = (line, rest)
            elif word not in ("stdout", "stderr"):
                self.notes.remark(line, "not supported: logs go to a file and to Docker")
            return
        types = self.conf.log_types or []
        if word == "none":
            self.notes.remark(line, "not supported; errors are always logged")
            types = []
        elif word == "all":
            types = list(LOG_TYPES)
        elif word in LOG_TYPES:
            types = list(dict.fromkeys([*types, word]))
        else:
            self.notes.remark(line, f"not supported; possible types: {', '.join(LOG_TYPES)}")
        self.conf.log_types = types

    def _number(self, line: Line, text: str, minimum: int, maximum: int) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,12}", text) else None
        if number is None or not minimum <= number <= maximum:
            self.notes.error(line, f"must be an integer from {minimum:,} to {maximum:,}")
            return maximum
        return number

    def _note_bridge(self, bridge: list[Line]) -> None:
        if not bridge:
            return
        numbers = ", ".join(str(line.number) for line in bridge[1:])
        below = f", with line{'s' * (len(bridge) > 2)} {numbers}," if numbers else ""  # noqa: PLR2004 (itself and one more)
        self.notes.remark(
            bridge[0],
            f"a bridge{below} is not supported: the two brokers stop exchanging messages; "
            "configure it in another broker",
        )

    def _note_unknown(self, line: Line, key: str) -> None:
        if "\t" in key:
            message = "contains a tab where Mosquitto requires a space"
        elif key.startswith("#"):
            message = "Mosquitto reads this as a directive: a comment must begin in column 1"
        else:
            guess = get_close_matches(key, DIRECTIVES, n=1)
            message = "Mosquitto has no such directive; " + (
                f"did you mean {guess[0]!r}?" if guess else "remove it"
            )
        # Quote only the name: with '=' instead of a space, the value is part of the key.
        word = re.match(r"[\w.#]*", key)
        self.notes.error(line, message, word[0] if word else "")


def _as_mosquitto_sorts(path: str) -> list[tuple[str, str]]:
    """Return a sort key for the order of conf_includedir.c: case-insensitive, ties by case."""
    return [(character.upper(), character) for character in path]
