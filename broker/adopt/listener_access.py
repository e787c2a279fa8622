"""Who may log in on which listener, and with which rules; a stack file has the same for all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from broker.adopt.login_files import (
    AclFile,
    AclRule,
    Line,
    Login,
    Notes,
    UserBlock,
    read_acl,
    read_passwords,
)
from broker.adopt.mosquitto_conf_parser import (
    ConfFile,
    ConfListener,
    ConfPlugin,
    NamedFile,
    Security,
)
from broker.adopt.path_suffix import find_files
from broker.mosquitto.mosquitto_conf import CONFIG_DIR
from broker.mosquitto.release_line import ReleaseLine

USUAL_FOLDERS = (CONFIG_DIR, "/etc/mosquitto")
"""Folders of mosquitto.conf, in a container and on a host."""
NAMES_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Access:
    """The logins and rules that all listeners get."""

    logins: dict[str, Login] = field(default_factory=dict)
    acl: AclFile | None = None
    """None if there are no rules, so that every user may do everything."""
    files: dict[str, str] = field(default_factory=dict)
    """The names of the files: ``passwords`` and ``acl``."""


@dataclass(frozen=True, kw_only=True)
class _ListenerAccess:
    """What one listener has before the adoption."""

    listener: ConfListener
    logins: dict[str, Login] | None
    """None if nobody checks names and passwords: everybody may log in under every name."""
    acl: AclFile | None
    acl_name: str = ""

    @property
    def port(self) -> int:
        return self.listener.port


def read_access(
    conf: str,
    conf_file: ConfFile,
    adopted: Collection[ConfListener],
    *,
    texts: Mapping[str, str],
    folder: str,
    notes: Notes,
    release_line: ReleaseLine,
) -> Access:
    """Read the files that the *adopted* listeners use, and merge them if nobody gains a right."""
    for plugin in conf_file.plugins:
        _take_plugin(plugin, conf_file, adopted, notes)
    sources = _Sources(conf, texts, folder, notes, release_line)
    # Without an adopted listener, which is an error, the files of all listeners are checked.
    found = [_access_of(conf_file, listener, sources) for listener in adopted or [ConfListener()]]
    if not sources.names.get("passwords"):
        if not any(_uses_plugin(error) for error in notes.errors):
            where = "no adopted listener has a" if _any_passwords(conf_file) else "has no"
            notes.errors.append(f"{conf}: {where} password_file, so there is no login to adopt")
        return Access()
    access = _merged(found, sources, notes)
    closed = [
        _access_of(conf_file, listener, sources, required=False)
        for listener in (*conf_file.listeners, conf_file.default)
        if not any(listener is other for other in adopted) and listener.security.passwords
    ]
    _note_lost_logins(closed, access.logins, notes)
    if conf_file.per_listener:
        _note_ports(conf_file.per_listener, found, access.logins, notes)
    return access


def _any_passwords(conf_file: ConfFile) -> bool:
    return any(listener.security.passwords for listener in conf_file.listeners)


def _uses_plugin(error: str) -> bool:
    return "a plugin may hold" in error or "password_file" in error


_PLUGINS = {"mosquitto_password_file.so": "password_file", "mosquitto_acl_file.so": "acl_file"}
"""Plugins of 2.1 that do what the directives of 2.0 do."""


def _take_plugin(
    plugin: ConfPlugin, conf_file: ConfFile, adopted: Collection[ConfListener], notes: Notes
) -> None:
    """Add the files of 2.1's own plugins to what they decide; report every other plugin."""
    name = PurePosixPath(plugin.path).name
    relevant = [conf_file.security, *(listener.security for listener in adopted)]
    if not any(scope is other for scope in plugin.scopes for other in relevant):
        notes.remark(plugin.line, "not adopted: no adopted listener uses this plugin")
    elif name == "mosquitto_persist_sqlite.so":
        notes.remark(
            plugin.line, "not supported: messages and sessions in its database are not adopted"
        )
    elif name not in _PLUGINS:
        notes.error(
            plugin.line,
            "a plugin may hold passwords and rules that these files do not contain, so adopted "
            "users could do more than now. Declare them in a password_file and an acl_file; or, if "
            "this plugin decides about no login and no topic, remove its lines",
        )
    else:
        kind = _PLUGINS[name]
        for option, (line, _) in plugin.options.items():
            if option != kind:
                notes.error(line, "is no option of this plugin: Mosquitto doesn't start")
        file = plugin.options.get(kind)
        if file is None and kind == "password_file":
            notes.error(plugin.line, "has no plugin_opt_password_file: Mosquitto doesn't start")
        if file is not None:
            for scope in plugin.scopes:
                _add_file(scope, kind, file, notes)


def _add_file(scope: Security, kind: str, file: NamedFile, notes: Notes) -> None:
    before = scope.passwords if kind == "password_file" else scope.acl
    if before is not None and before[1] != file[1]:
        notes.error(
            file[0],
            f"a second {kind} for the same listeners (line {before[0].number} of "
            f"{before[0].file}): merge the files into one",
        )
    elif kind == "password_file":
        scope.passwords = file
    else:
        scope.acl = file


@dataclass
class _Sources:
    """The files with logins and rules; each of them is read once."""

    conf: str
    texts: Mapping[str, str]
    folder: str
    notes: Notes
    release_line: ReleaseLine
    names: dict[str, str] = field(default_factory=dict)
    """The first name of each kind."""
    logins: dict[str, dict[str, Login]] = field(default_factory=dict)
    acls: dict[str, AclFile] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    """The ids of lines whose file was reported as missing."""

    def passwords(self, file: NamedFile, *, required: bool) -> dict[str, Login] | None:
        name = self._find(file, required=required)
        if name is None:
            return None
        if required:
            self.names.setdefault("passwords", name)
        if name not in self.logins:
            errors = len(self.notes.errors)
            # Nobody needs to correct a file of a listener that is not adopted.
            notes = self.notes if required else Notes()
            self.logins[name] = read_passwords(name, self.texts[name], notes, self.release_line)
            if required and not self.logins[name] and errors == len(notes.errors):
                notes.error(file[0], f"{name!r} contains no login, so there is no user to adopt")
        return self.logins[name]

    def acl(self, file: NamedFile) -> tuple[str, AclFile]:
        name = self._find(file, required=True)
        if name is None:
            return "", AclFile()
        self.names.setdefault("acl", name)
        if name not in self.acls:
            self.acls[name] = read_acl(name, self.texts[name], self.notes)
        return name, self.acls[name]

    def _find(self, file: NamedFile, *, required: bool) -> str | None:
        line, path = file
        names = find_files(path, self.texts)
        if not names:
            if required and id(line) not in self.missing:
                self.missing.add(id(line))
                last = PurePosixPath(path).name
                self.notes.error(
                    line, f"{last!r} is not in the folder of {self.conf}; put it there"
                )
            return None
        usual = (*USUAL_FOLDERS, self.folder, "", ".")
        if required and id(line) not in self.missing:
            self.missing.add(id(line))
            if len(names) > 1:
                self.notes.remark(line, f"read from {names[0]!r}, not from {names[1]!r}")
            elif "/" in names[0] or str(PurePosixPath(path).parent) not in usual:
                self.notes.remark(line, f"read from {names[0]!r}, beside {self.conf}")
        return names[0]


def _access_of(
    conf_file: ConfFile, listener: ConfListener, sources: _Sources, *, required: bool = True
) -> _ListenerAccess:
    common, own = conf_file.security, listener.security
    # Global plugins and files answer first, and they always answer.
    passwords, acl = common.passwords or own.passwords, common.acl or own.acl
    anonymous = own.anonymous
    if anonymous is None and not conf_file.per_listener:
        anonymous = common.anonymous
    if anonymous is None:
        anonymous = conf_file.local_only
    logins = sources.passwords(passwords, required=required) if passwords else None
    name, rules = sources.acl(acl) if acl and required else ("", None)
    if conf_file.local_only and conf_file.per_listener:
        # Mosquitto checks no login there, so that whoever is adopted loses rights only.
        anonymous, logins = True, None
    return _ListenerAccess(
        listener=listener,
        logins=logins if passwords or anonymous else {},
        acl=rules,
        acl_name=name,
    )


def _merged(found: list[_ListenerAccess], sources: _Sources, notes: Notes) -> Access:
    logins: dict[str, Login] = {}
    for access in found:
        logins = {**(access.logins or {}), **logins}
    if not logins:
        logins = dict(sources.logins[sources.names["passwords"]])
    for access in found:
        if access.logins is not None:
            _note_gained_listener(access, found, logins, notes)
    first = next((access for access in found if access.acl is not None), None)
    for access in found if first else ():
        if access.acl is None:
            notes.remarks.append(
                f"{sources.conf}: port {access.port} has no acl_file, so users may do everything "
                f"there; now they may do there what {sources.names['acl']} allows"
            )
        elif first is not None and first.acl is not None:
            changed = _users_with_other_rules(first.acl, access.acl, logins)
            _note_other_rules(first, access, changed, notes)
    return Access(logins=logins, acl=first.acl if first else None, files=dict(sources.names))


def _note_gained_listener(
    access: _ListenerAccess,
    found: list[_ListenerAccess],
    logins: Mapping[str, Login],
    notes: Notes,
) -> None:
    """Report users that could not log in on a listener, or with another password only."""
    own = access.logins or {}
    line = _line_of(access.listener, logins)
    if line is None:
        return
    missing = [name for name in logins if name not in own]
    if missing:
        others = sorted(
            {other.port for other in found if other.logins and set(missing) & set(other.logins)}
        )
        notes.error(
            line,
            f"{_list(missing)} may not log in on port {access.port}, only on port "
            f"{_list(map(str, others))}, and would gain port {access.port}: here all users may use "
            "all listeners. Remove one of the listeners, or the users, or name the same files",
        )
    changed = [
        name for name, login in logins.items() if name in own and own[name].hash != login.hash
    ]
    if changed:
        notes.error(
            line,
            f"{_list(changed)}: another password on port {access.port} than on other ports, and "
            "here a user has one; use the same hash in both files",
        )


def _users_with_other_rules(
    first: AclFile, other: AclFile, logins: Mapping[str, Login]
) -> list[str]:
    if _patterns(first.patterns) != _patterns(other.patterns):
        return [*logins]
    return [name for name in logins if _rules(first, name) != _rules(other, name)]


def _note_other_rules(
    first: _ListenerAccess, other: _ListenerAccess, changed: list[str], notes: Notes
) -> None:
    if changed and other.listener.line:
        notes.error(
            other.listener.line,
            f"{_list(changed)}: other rules on port {other.port} ({other.acl_name}) than on port "
            f"{first.port} ({first.acl_name}), and here the rules are the same on all listeners: "
            "make the files alike, or remove one of the listeners",
        )


def _rules(acl: AclFile, name: str) -> frozenset[tuple[str, str]]:
    block = acl.blocks.get(name)
    return _patterns(block.rules) if block else frozenset()


def _patterns(rules: list[AclRule]) -> frozenset[tuple[str, str]]:
    return frozenset((rule.access, rule.filter) for rule in rules)


def _line_of(listener: ConfListener, logins: Mapping[str, Login]) -> Line | None:
    return listener.line or next((login.line for login in logins.values()), None)


def _note_lost_logins(
    closed: list[_ListenerAccess], logins: Mapping[str, Login], notes: Notes
) -> None:
    for access in closed:
        lost = [name for name in access.logins or {} if name not in logins]
        if lost and access.listener.line:
            notes.remark(
                access.listener.line,
                f"{_list(lost)} can log in on this listener only, which is not adopted: they lose "
                "their access",
            )


def _note_ports(
    line: Line, found: list[_ListenerAccess], logins: Mapping[str, Login], notes: Notes
) -> None:
    ports = []
    for access in found:
        who = "everybody" if access.logins is None else _list(access.logins) or "nobody"
        ports.append(f"{who} could log in on port {access.port}")
    notes.remark(
        line, f"not supported: {'; '.join(ports)}. Now {_list(logins)} can log in on all of them"
    )


def _list(names: Iterable[str]) -> str:
    every = [*names]
    more = f" and {len(every) - NAMES_SHOWN:,} more" if every[NAMES_SHOWN:] else ""
    return ", ".join(every[:NAMES_SHOWN]) + more


def rules_without_login(conf_file: ConfFile, block: UserBlock) -> str:
    """Return the sentence about rules of a user that the password file does not have."""
    other_ways = [
        way
        for way, used in (
            (
                "a certificate",
                any(
                    listener.names_from_certificates
                    for listener in (*conf_file.listeners, conf_file.default)
                ),
            ),
            ("a pre-shared key", "psk_file" in conf_file.values),
            (
                "a plugin",
                any(
                    PurePosixPath(plugin.path).name not in _PLUGINS for plugin in conf_file.plugins
                ),
            ),
        )
        if used
    ]
    if not other_ways:
        return f"has no login, so its {len(block.rules)} rules have no effect; not adopted"
    return (
        f"has no password, and may log in with {' or '.join(other_ways)}; not adopted, so it loses "
        f"its {len(block.rules)} rules. Declare it under 'users' if it is to keep them"
    )


def note_client_ids(
    conf_file: ConfFile, adopted: Collection[ConfListener], acl: AclFile | None, notes: Notes
) -> None:
    """Report lines that tie client ids to users: here every client chooses its id."""
    lines = [
        listener.lines["use_username_as_clientid"][0]
        for listener in adopted
        if "use_username_as_clientid" in listener.lines
    ]
    if "clientid_prefixes" in conf_file.values:
        lines.append(conf_file.values["clientid_prefixes"][0])
    by_id = [rule for rule in (acl.patterns if acl else []) if "%c" in rule.filter]
    for line in lines:
        if by_id:
            rule = by_id[0]
            notes.error(
                line,
                "not supported: here a client chooses its id, so every user would gain the topics "
                f"of all others by {rule.line.text.strip()!r} ({rule.line.file}:"
                f"{rule.line.number}). Write %u instead of %c, and remove this line",
            )
        else:
            notes.remark(
                line,
                "not supported: here a client chooses its id. A user who takes the id of another's "
                "client ends that connection and its queued messages, and gains no topic",
            )
