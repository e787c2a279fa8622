"""Parse an existing mosquitto.conf and the files that it includes, as src/conf.c does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import get_args

from broker.adopt.login_files import Line, Notes, lines_of, split
from broker.adopt.path_suffix import find_folder
from broker.mosquitto.release_line import ReleaseLine
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
    *("allow_zero_length_clientid", "auto_id_prefix", "check_retain_source"),
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
    "clientid_prefixes",
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
    "accept_protocol_versions": "not supported: clients may use every version of MQTT",
    "allow_zero_length_clientid": "not supported: clients may connect without a client id",
    "check_retain_source": "not supported: retained messages are delivered even if their publisher "
    "lost the right",
    "max_qos": "not supported: clients may use every QoS",
    "maximum_qos": "not supported: clients may use every QoS",
    "message_size_limit": "not supported: users may send larger messages, up to "
    "broker.limits.maxPacketSize",
    "persistence_file": "not supported: rename the file to mosquitto.db, in broker.folders.data",
    "retain_available": "not supported: users may publish retained messages",
    "websockets_origin": "not supported: web pages of every origin may connect",
    "user": "not supported; set broker.owner.uid and broker.owner.gid to the ids of this user",
}

BOOLEANS = frozenset(
    (
        *("allow_anonymous", "allow_duplicate_messages", "allow_zero_length_clientid"),
        *("auth_plugin_deny_special_chars", "autosave_on_changes", "check_retain_source"),
        *("connection_messages", "disable_client_cert_date_checks", "enable_control_api"),
        *("listener_allow_anonymous", "log_timestamp", "per_listener_settings", "persistence"),
        *("proxy_protocol_v2_require_tls", "queue_qos0_messages", "require_certificate"),
        *("retain_available", "retained_persistence", "set_tcp_nodelay", "upgrade_outgoing_qos"),
        *("use_identity_as_username", "use_subject_as_username", "use_username_as_clientid"),
    )
)
"""Directives that are true or false; with anything else Mosquitto doesn't start."""

ONE_WORD = BOOLEANS | {
    *("autosave_interval", "enable_proxy_protocol", "global_max_clients"),
    *("global_max_connections", "log_facility", "max_connections", "max_inflight_bytes"),
    *("max_inflight_messages", "max_keepalive", "max_packet_size", "max_qos", "maximum_qos"),
    *("max_queued_bytes", "max_queued_messages", "max_topic_alias", "max_topic_alias_broker"),
    *("memory_limit", "message_size_limit", "packet_buffer_size", "persistent_client_expiration"),
    *("port", "protocol", "retain_expiry_interval", "socket_domain", "sys_interval"),
    *("websockets_headers_size", "websockets_log_level"),
}
"""Directives with a value of one word; Mosquitto ignores what follows it."""

_ALWAYS_OPEN = frozenset(
    (
        *("bind_address", "bind_interface", "capath", "certfile", "ciphers", "ciphers_tls1.3"),
        *("crlfile", "keyfile", "port", "psk_hint", "socket_domain", "tls_engine"),
        "tls_engine_kpass_sha1",
    )
)
OPENS_DEFAULT: dict[ReleaseLine, frozenset[str]] = {
    "2.0": _ALWAYS_OPEN | {"cafile", "dhparamfile", "mount_point"},
    "2.1": _ALWAYS_OPEN
    | {
        *("max_connections", "max_qos", "maximum_qos", "protocol", "require_certificate"),
        *("tls_keyform", "use_identity_as_username", "use_subject_as_username"),
        "use_username_as_clientid",
    },
}
"""Directives of a listener that, without a listener above them, open the default listener."""

OPENS_DEFAULT_UNLESS = {
    "max_connections": re.compile(r"-[1-9][0-9]*"),
    "max_qos": re.compile("2"),
    "maximum_qos": re.compile("2"),
    "protocol": re.compile("mqtt"),
    "require_certificate": re.compile("false|0"),
    "tls_keyform": re.compile("(?!engine$).*"),
    "use_identity_as_username": re.compile("false|0"),
    "use_subject_as_username": re.compile("false|0"),
    "use_username_as_clientid": re.compile("false|0"),
}
"""The same for 2.0 only, unless the value is this, the default (config__parse_args)."""

SECURITY = frozenset(
    (
        *("acl_file", "allow_anonymous", "allow_zero_length_clientid", "auth_plugin"),
        *("auto_id_prefix", "password_file", "plugin", "psk_file"),
    )
)
"""Directives of all listeners or, with ``per_listener_settings``, of the listener above them."""

OPENS_DEFAULT_PER_LISTENER = frozenset(
    ("allow_zero_length_clientid", "auth_plugin", "password_file", "plugin", "psk_file")
)
"""Those that, in 2.0 with ``per_listener_settings``, open the default listener."""

NEEDS_LISTENER: dict[ReleaseLine, frozenset[str]] = {
    "2.0": frozenset(),
    "2.1": frozenset(
        (
            *("accept_protocol_versions", "cafile", "disable_client_cert_date_checks"),
            *("enable_proxy_protocol", "http_dir", "listener_allow_anonymous"),
            *("listener_auto_id_prefix", "max_topic_alias", "max_topic_alias_broker"),
            *("mount_point", "plugin_use", "proxy_protocol_v2_require_tls", "tls_version"),
            "websockets_origin",
        )
    ),
}
"""Directives without which a listener above them Mosquitto doesn't start."""

ONLY_2_1 = frozenset(
    (
        *("accept_protocol_versions", "disable_client_cert_date_checks", "enable_control_api"),
        *("enable_proxy_protocol", "global_max_clients", "global_max_connections"),
        *("global_plugin", "listener_allow_anonymous", "listener_auto_id_prefix"),
        *("max_topic_alias_broker", "packet_buffer_size", "plugin_load", "plugin_use"),
        *("proxy_protocol_v2_require_tls", "websockets_origin"),
    )
)
"""Directives that 2.0 doesn't know."""

LOG_TYPES: tuple[str, ...] = get_args(LogType)
MAX_CONNECTIONS = 1_000_000
"""The maximum of ``broker.limits.maxConnections``."""

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,11})")
"""What both release lines read alike: 2.0 ignores trailing text, and 2.1 knows octal numbers."""

NamedFile = tuple[Line, str]
"""The line that names a file, and the path."""


@dataclass(kw_only=True)
class Security:
    """What decides about logins and rules: of all listeners, or of one."""

    passwords: NamedFile | None = None
    acl: NamedFile | None = None
    anonymous: bool | None = None
    """Whether clients may connect without a login; None if no line says so."""


@dataclass(kw_only=True)
class ConfListener:
    """A ``listener`` and the lines below it; or the default listener and the lines above all."""

    line: Line | None = None
    port: int = 1883
    protocol: str = "mqtt"
    address: str = ""
    max_connections: int | None = None
    encrypted: bool = False
    names_from_certificates: bool = False
    """Whether users have the name in their certificate, and no password."""
    lines: dict[str, tuple[Line, str]] = field(default_factory=dict)
    """Line and value of directives that decide who reaches what on this listener."""
    security: Security = field(default_factory=Security)


@dataclass(kw_only=True)
class ConfPlugin:
    """A plugin, its options, and the security that it takes part in."""

    line: Line
    path: str
    options: dict[str, NamedFile] = field(default_factory=dict)
    scopes: list[Security] = field(default_factory=list)


@dataclass(kw_only=True)
class ConfFile:
    """The parsed file."""

    values: dict[str, tuple[Line, str]] = field(default_factory=dict)
    """Line and value by directive, without those of listeners."""
    log_types: list[str] | None = None
    default: ConfListener = field(default_factory=ConfListener)
    default_opened: bool = False
    default_requested: bool = False
    """Whether ``port`` or ``bind_address`` requests the default listener."""
    listeners: list[ConfListener] = field(default_factory=list)
    local_only: bool = True
    """Whether Mosquitto ignores listeners and listens on 127.0.0.1 and ::1 only."""
    per_listener: Line | None = None
    security: Security = field(default_factory=Security)
    plugins: list[ConfPlugin] = field(default_factory=list)
    only_2_1: Line | None = None
    """The first line that 2.0 does not know."""

    def path(self, directive: str) -> PurePosixPath | None:
        """Return the value of *directive* as a path."""
        entry = self.values.get(directive)
        return PurePosixPath(entry[1]) if entry else None

    def opened(self) -> set[tuple[int, str, str, bool]]:
        """Return port, address, protocol and encryption of what Mosquitto listens on."""
        if self.local_only:
            return {(1883, "127.0.0.1", "mqtt", False)}
        return {
            (listener.port, listener.address, listener.protocol, listener.encrypted)
            for listener in (*self.listeners, *([self.default] if self.default_opened else []))
        }


def read_conf(
    file: str, texts: Mapping[str, str], notes: Notes, line: ReleaseLine = "2.0"
) -> ConfFile:
    """Parse *file* and the files that it includes. *texts* are by name, relative to *file*."""
    conf = ConfFile()
    reader = _Reader(conf, texts, notes, line)
    reader.read(file, included=False)
    conf.default_opened = any(reader.opens.values())
    return conf


@dataclass
class _Reader:
    conf: ConfFile
    texts: Mapping[str, str]
    notes: Notes
    release_line: ReleaseLine
    listener: ConfListener | None = None
    """The listener above the present line of the present file."""
    plugin: ConfPlugin | None = None
    """The plugin above the present line of the present file."""
    named_plugins: dict[str, ConfPlugin] = field(default_factory=dict)
    secured: bool = False
    """Whether a line of ``SECURITY`` was read."""
    opens: dict[str, bool] = field(default_factory=dict)
    """Whether the last line with a directive opens the default listener."""

    def read(self, file: str, *, included: bool) -> None:
        # Every file begins without a listener, a plugin and a bridge (config__read_file_core).
        above = self.listener, self.plugin
        self.listener = self.plugin = None
        bridge: list[Line] = []
        comments: list[Line] = []
        for line in lines_of(file, self.texts[file], self.notes):
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
            elif key == "include_dir" and not included:
                self._include(line, value)
            else:
                self._take(line, key, value)
        self._note_bridge(bridge)
        if comments:
            self.notes.remark(comments[0], f"{len(comments):,} comments are not adopted", "#")
        self.listener, self.plugin = above

    def _include(self, line: Line, value: str) -> None:
        folder = find_folder(value, self.texts)
        if folder is None:
            name = PurePosixPath(value).name
            self.notes.error(
                line,
                f"the folder {name!r} is not beside this file, or is empty: put it there with its "
                "*.conf, or remove this line if there are none",
            )
            return
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

    def _take(self, line: Line, key: str, value: str) -> None:
        option = re.match("plugin_opt_|auth_opt_", key)
        if key in ONLY_2_1 or (key, _word(value)) == ("protocol", "http_api"):
            self.conf.only_2_1 = self.conf.only_2_1 or line
        if not option and key not in DIRECTIVES:
            self._note_unknown(line, key)
        elif key in BRIDGE:
            self.notes.error(line, "must follow a 'connection' line: Mosquitto doesn't start", key)
        elif not value:
            self.notes.error(line, "has no value; add one or remove the line", key)
        elif any("\ud800" <= character <= "\udfff" for character in value):
            self.notes.error(line, "is not UTF-8: Mosquitto doesn't start", key)
        elif key in BOOLEANS and not re.fullmatch("true|false|1|0", _word(value)):
            self.notes.error(line, "must be true or false: Mosquitto doesn't start")
        else:
            self._take_valid(line, key, _word(value) if key in ONE_WORD else value)

    def _take_valid(self, line: Line, key: str, value: str) -> None:
        """Take a line whose directive exists, and whose *value* is complete."""
        if key.startswith(("plugin_opt_", "auth_opt_")):
            self._take_plugin_option(line, key, value)
        elif key in ("log_type", "log_dest"):
            self._take_for_log(line, key, value)
        elif key == "per_listener_settings":
            self._take_per_listener(line, value)
        elif key == "listener":
            self._take_listener(line, value)
        elif key in PLUGIN:
            self._take_plugin(line, key, value)
        elif key in SECURITY or key == "listener_allow_anonymous":
            self._take_security(line, key, value)
        elif key in (*TLS, *LISTENER, "enable_proxy_protocol", "protocol", "max_connections"):
            self._take_for_listener(line, key, value, self._listener_above(line, key, value))
        elif key in ("port", "bind_address"):
            self._take_for_default(line, key, value)
        elif key in READ:
            self._take_value(line, key, value)
        else:
            self._listener_above(line, key, value)
            self._note_unexpressed(line, key, value)

    def _listener_above(self, line: Line, key: str, value: str) -> ConfListener:
        """Return the listener above *line*, or the default listener, which may be opened."""
        if self.listener is not None:
            return self.listener
        if key in NEEDS_LISTENER[self.release_line] or (
            key == "mount_point" and not self.conf.listeners
        ):
            self.notes.error(
                line,
                f"must follow a 'listener' line: Mosquitto {self.release_line} doesn't start",
            )
            return self.conf.default
        opens = key in OPENS_DEFAULT[self.release_line]
        if self.release_line == "2.0" and key in OPENS_DEFAULT_UNLESS:
            opens = not OPENS_DEFAULT_UNLESS[key].fullmatch(value)
        if key in (*OPENS_DEFAULT["2.0"], *OPENS_DEFAULT["2.1"]):
            self._open_default(line, key, opens=opens)
        if opens and self.release_line == "2.1":
            self.listener = self.conf.default
        return self.conf.default

    def _open_default(self, line: Line, key: str, *, opens: bool) -> None:
        self.opens[key] = opens
        if opens:
            self.conf.default.line = self.conf.default.line or line

    def _take_listener(self, line: Line, value: str) -> None:
        self.conf.local_only = False
        port, address, *_ = [*(word for word in value.split(" ") if word), "", ""]
        listener = ConfListener(line=line, address="" if address.startswith("#") else address)
        listener.port = self._number(line, port, 0, 65_535)
        if listener.port == 0 and not listener.address:
            self.notes.error(line, "port 0 needs the path of a socket: Mosquitto doesn't start")
        self.conf.listeners.append(listener)
        self.listener = listener

    def _take_for_default(self, line: Line, key: str, value: str) -> None:
        # These two configure the default listener, wherever they are.
        default = self.conf.default
        self.conf.local_only = False
        self.conf.default_requested = True
        self._open_default(line, key, opens=True)
        if self.release_line == "2.1":
            self.listener = default
        if key == "port":
            default.port = self._number(line, value, 1, 65_535)
        else:
            default.address = value

    def _take_for_listener(self, line: Line, key: str, value: str, listener: ConfListener) -> None:
        if key == "protocol":
            if value not in ("mqtt", "websockets", "http_api"):
                self.notes.error(line, "is no protocol: Mosquitto doesn't start; remove it")
            listener.protocol = value
        elif key == "max_connections":
            # 0 and negative numbers are no limit.
            negative = value.startswith("-") and INTEGER.fullmatch(value)
            limit = 0 if negative else self._number(line, value, -1, MAX_CONNECTIONS)
            listener.max_connections = limit or None
        elif key == "socket_domain" and value not in ("ipv4", "ipv6"):
            self.notes.error(line, "must be ipv4 or ipv6: Mosquitto doesn't start")
        elif key in ("bind_interface", "mount_point", "socket_domain"):
            listener.lines[key] = (line, value)
        elif key == "use_username_as_clientid" and value in ("false", "0"):
            listener.lines.pop(key, None)
        elif key in ("use_username_as_clientid", "enable_proxy_protocol"):
            listener.lines[key] = (line, value)
        else:
            listener.encrypted |= key in ("certfile", "psk_hint")
            if key in ("use_identity_as_username", "use_subject_as_username"):
                listener.names_from_certificates |= value in ("true", "1")
            self._note_unexpressed(line, key, value)

    def _take_per_listener(self, line: Line, value: str) -> None:
        if value in ("false", "0"):
            # 2.1 does not let it be unset.
            self.conf.per_listener = self.conf.per_listener if self.release_line == "2.1" else None
            return
        if self.secured:
            self.notes.error(
                line, "must be above all passwords, rules and plugins: Mosquitto doesn't start"
            )
        self.conf.per_listener = self.conf.per_listener or line

    def _security(self, line: Line, key: str, value: str) -> Security:
        self.secured = True
        if self.conf.per_listener is None:
            return self.conf.security
        if self.listener is None and self.release_line == "2.1":
            self.notes.error(line, "must follow a 'listener' line: Mosquitto 2.1 doesn't start")
        if self.listener is None:
            differs = key != "allow_zero_length_clientid" or value in ("false", "0")
            if key in OPENS_DEFAULT_PER_LISTENER:
                self._open_default(line, key, opens=differs)
            return self.conf.default.security
        return self.listener.security

    def _take_security(self, line: Line, key: str, value: str) -> None:
        if key == "listener_allow_anonymous":
            security = self._listener_above(line, key, value).security
        else:
            security = self._security(line, key, value)
        if key in ("allow_anonymous", "listener_allow_anonymous"):
            security.anonymous = value in ("true", "1")
        if key == "password_file":
            security.passwords = self._only(line, key, value, security.passwords)
        elif key == "acl_file":
            security.acl = self._only(line, key, value, security.acl)
        else:
            self.conf.values[key] = (line, value)
            self._note_unexpressed(line, key, value)

    def _only(self, line: Line, kind: str, path: str, before: NamedFile | None) -> NamedFile:
        """Return *path* as the only file of its *kind* for the same listeners."""
        if before is not None and before[1] != path:
            self.notes.error(
                line,
                f"a second {kind} for the same listeners (line {before[0].number} of "
                f"{before[0].file}): merge the files into one",
            )
        return (line, path)

    def _take_plugin(self, line: Line, key: str, value: str) -> None:
        if key == "auth_plugin_deny_special_chars":
            return
        if key == "plugin_use":
            listener = self._listener_above(line, key, value)
            self.plugin = self.named_plugins.get(value)
            if self.plugin is None:
                self.notes.error(line, "names no plugin_load above it: Mosquitto doesn't start")
            else:
                self.plugin.scopes.append(listener.security)
            return
        name, path = split(value) if key == "plugin_load" else ("", value)
        self.plugin = ConfPlugin(line=line, path=path)
        self.conf.plugins.append(self.plugin)
        if key == "plugin_load":
            if name in self.named_plugins:
                self.notes.error(line, "a second plugin of this name: Mosquitto doesn't start")
            self.named_plugins[name] = self.plugin
        elif key == "global_plugin":
            self.secured = True
            self.plugin.scopes.append(self.conf.security)
        else:
            self.plugin.scopes.append(self._security(line, key, value))

    def _take_plugin_option(self, line: Line, key: str, value: str) -> None:
        # The value may be a password.
        if self.plugin is None:
            self.notes.error(line, "must follow a plugin's line: Mosquitto doesn't start", key)
            return
        name = key.removeprefix("auth_opt_").removeprefix("plugin_opt_")
        self.plugin.options[name] = (Line(file=line.file, number=line.number, text=key), value)

    def _note_unexpressed(self, line: Line, key: str, value: str) -> None:
        if {"1": "true", "0": "false"}.get(value, value) == REDUNDANT.get(key):
            return
        # The value of a TLS key may be a password.
        quoted = key if key == "tls_engine_kpass_sha1" else None
        self.notes.remark(line, FIXES.get(key, "not supported"), quoted)

    def _take_value(self, line: Line, key: str, value: str) -> None:
        if key == "include_dir":
            self.notes.remark(line, "Mosquitto ignores include_dir in an included file")
        else:
            # The last occurrence applies.
            self.conf.values[key.replace("retained_persistence", "persistence")] = (line, value)

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
        number = int(text) if INTEGER.fullmatch(text) else None
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


def _word(value: str) -> str:
    """Return the first word: only spaces separate words (strtok_r)."""
    return value.partition(" ")[0]


def _as_mosquitto_sorts(path: str) -> list[tuple[str, str]]:
    """Return a sort key for the order of conf_includedir.c: case-insensitive, ties by case."""
    return [(character.upper(), character) for character in path]
