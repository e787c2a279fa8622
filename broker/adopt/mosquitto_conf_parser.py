"""A mosquitto.conf that somebody wrote by hand, with what it includes, as settings."""

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
"""What belongs to the ``connection`` above it."""

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
"""What speaks of the listener above it, like ``TLS``, and of the default one above them all."""

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
"""All that 2.0.22 or 2.1.2 knows (src/conf.c), but for ``plugin_opt_*`` and ``auth_opt_*``."""

AS_HERE = {
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
"""Lines that say what is so without them, or what every broker of ours says."""

WAYS_OUT = {
    "allow_anonymous": "clients without a login will be refused; give each of them a user",
    "listener_allow_anonymous": "clients without a login will be refused; give them a user",
    "bind_interface": "not expressed, and without it every interface listens; say "
    "broker.listeners.NAME.bindAddress",
    "mount_point": "not expressed: topics of this listener lose their prefix; take it into the "
    "users' filters, and the clients' topics",
    "per_listener_settings": "not expressed: every listener has the same users and rules",
    "persistence_file": "not expressed: call the file mosquitto.db, in broker.folders.data",
    "user": "not expressed; say the broker's number in broker.owner.uid and broker.owner.gid",
}

LOG_TYPES: tuple[str, ...] = get_args(LogType)
MOST_CONNECTIONS = 1_000_000
"""As in ``broker.limits``."""


@dataclass(kw_only=True)
class HandListener:
    """A ``listener`` and the lines below it, or the default one and what stands above them all."""

    line: Line | None = None
    port: int = 1883
    protocol: str = "mqtt"
    address: str = ""
    most: int | None = None
    """``max_connections``."""
    encrypted: bool = False


@dataclass(kw_only=True)
class HandConf:
    """What the file says."""

    values: dict[str, tuple[Line, str]] = field(default_factory=dict)
    """By directive: those that stand for themselves."""
    log_types: list[str] | None = None
    default: HandListener = field(default_factory=HandListener)
    directly: bool = False
    """Whether the default listener was asked for, by ``port`` or ``bind_address``."""
    listeners: list[HandListener] = field(default_factory=list)

    def path(self, directive: str) -> PurePosixPath | None:
        """Return the path that *directive* names."""
        found = self.values.get(directive)
        return PurePosixPath(found[1]) if found else None


def read_conf(file: str, texts: Mapping[str, str], notes: Notes) -> HandConf:
    """Return what *file* says, and what it includes. *texts* are by name, in the file's folder."""
    conf = HandConf()
    _Reader(conf, texts, notes).read(file, included=False)
    return conf


@dataclass
class _Reader:
    conf: HandConf
    texts: Mapping[str, str]
    notes: Notes

    def read(self, file: str, *, included: bool) -> None:
        # Each file begins with no listener and no bridge (config__read_file_core).
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
            each
            for each in self.texts
            if str(PurePosixPath(each).parent) == folder
            and each.endswith(".conf")
            and len(PurePosixPath(each).name) > len(".conf")
        ]
        if not found:
            self.notes.remark(line, f"no *.conf is in the folder {folder!r} beside this file")
        for each in sorted(found, key=_as_mosquitto_sorts):
            self.read(each, included=True)

    def _listener(self, line: Line, value: str) -> HandListener:
        port, address, *_ = [*value.split(), "", ""]
        found = HandListener(line=line, address="" if address.startswith("#") else address)
        found.port = self._number(line, port, 0, 65_535)
        self.conf.listeners.append(found)
        return found

    def _take(self, line: Line, key: str, value: str, listener: HandListener) -> None:
        option = key.startswith(("plugin_opt_", "auth_opt_"))
        if not option and key not in DIRECTIVES:
            self._note_unknown(line, key)
        elif key in BRIDGE:
            self.notes.error(line, "belongs below a 'connection' line: Mosquitto stops here", key)
        elif not value and not option:
            self.notes.error(line, "says nothing; give it a value or take it out")
        elif key in ("port", "bind_address", "protocol", "max_connections"):
            self._take_for_listener(line, key, value, listener)
        elif key in ("log_type", "log_dest"):
            self._take_for_log(line, key, value)
        elif key in READ:
            self._take_value(line, key, value)
        else:
            self._note_unexpressed(line, key, value, listener)

    def _note_unexpressed(self, line: Line, key: str, value: str, listener: HandListener) -> None:
        if {"1": "true", "0": "false"}.get(value, value) == AS_HERE.get(key):
            return
        if key in TLS or key in LISTENER:
            listener.encrypted |= key in ("certfile", "psk_hint")
            listener.line = listener.line or line
        # What an option of a plugin or a key of TLS says may be a password.
        option = key.startswith(("plugin_opt_", "auth_opt_"))
        quoted = key if option or key == "tls_engine_kpass_sha1" else None
        self.notes.remark(line, WAYS_OUT.get(key, "not expressed"), quoted)

    def _take_value(self, line: Line, key: str, value: str) -> None:
        if key == "include_dir":
            self.notes.remark(line, "Mosquitto reads no include_dir in a file that was included")
        elif key in ("password_file", "acl_file") and key in self.conf.values:
            self.notes.error(
                line,
                f"a second {key}: users and rules are the same for all listeners; merge the files "
                "into one and name that once",
            )
        else:
            # The later of two counts.
            self.conf.values[key.replace("retained_persistence", "persistence")] = (line, value)

    def _take_for_listener(self, line: Line, key: str, value: str, listener: HandListener) -> None:
        # These two speak of the default listener, wherever they stand.
        if key in ("port", "bind_address"):
            listener, self.conf.directly = self.conf.default, True
        if (key, value) not in (("protocol", "mqtt"), ("max_connections", "-1")):
            listener.line = listener.line or line
        if key == "port":
            listener.port = self._number(line, value, 1, 65_535)
        elif key == "bind_address":
            listener.address = value
        elif key == "protocol" and value not in ("mqtt", "websockets", "http_api"):
            self.notes.error(line, "is no protocol: Mosquitto doesn't start; take it out")
        elif key == "protocol":
            listener.protocol = value
        else:
            # 0 limits nobody either.
            listener.most = self._number(line, value, -1, MOST_CONNECTIONS)
            listener.most = listener.most if listener.most > 0 else None

    def _take_for_log(self, line: Line, key: str, value: str) -> None:
        word, rest = split(value)
        if key == "log_dest":
            if word == "file" and not rest:
                self.notes.error(line, "names no file; give it one or take it out")
            elif word == "file":
                self.conf.values["log_dest file"] = (line, rest)
            elif word not in ("stdout", "stderr"):
                self.notes.remark(line, "not expressed: logs go to a file and to Docker")
            return
        types = self.conf.log_types or []
        if word == "none":
            self.notes.remark(line, "not expressed; errors at least are logged")
            types = []
        elif word == "all":
            types = list(LOG_TYPES)
        elif word in LOG_TYPES:
            types = list(dict.fromkeys([*types, word]))
        else:
            self.notes.remark(line, f"not expressed; there are: {', '.join(LOG_TYPES)}")
        self.conf.log_types = types

    def _number(self, line: Line, text: str, least: int, most: int) -> int:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,12}", text) else None
        if number is None or not least <= number <= most:
            self.notes.error(line, f"wants a whole number from {least:,} to {most:,}")
            return most
        return number

    def _note_bridge(self, bridge: list[Line]) -> None:
        if not bridge:
            return
        numbers = ", ".join(str(each.number) for each in bridge[1:])
        below = f", with line{'s' * (len(bridge) > 2)} {numbers}," if numbers else ""  # noqa: PLR2004 (itself and one more)
        self.notes.remark(
            bridge[0],
            f"a bridge{below} is not expressed: the two brokers stop exchanging messages; run it "
            "from another broker",
        )

    def _note_unknown(self, line: Line, key: str) -> None:
        if "\t" in key:
            what = "a tab stands where Mosquitto wants a space"
        elif key.startswith("#"):
            what = "a comment begins in the first column: Mosquitto takes this one for a directive"
        else:
            guess = get_close_matches(key, DIRECTIVES, n=1)
            what = "Mosquitto knows no such directive; " + (
                f"did you mean {guess[0]!r}?" if guess else "take it out"
            )
        # Not all of it: with '=' for the space, the value is in it.
        word = re.match(r"[\w.#]*", key)
        self.notes.error(line, what, word[0] if word else "")


def _as_mosquitto_sorts(path: str) -> list[tuple[str, str]]:
    """Return the key of conf_includedir.c's order: letters first, then capitals before small."""
    return [(each.upper(), each) for each in path]
