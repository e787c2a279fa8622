"""Convert the files of an existing broker to the settings of a stack file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError

from broker.access.rules import Access
from broker.adopt.adopted_settings import Place, adopted_broker
from broker.adopt.login_files import (
    AclFile,
    AclRule,
    Login,
    Notes,
    UserBlock,
    read_acl,
    read_passwords,
)
from broker.adopt.mosquitto_conf_parser import ConfFile, read_conf
from broker.credentials.password_hashes import is_password
from broker.settings.base_model import SettingsModel
from broker.settings.stack_settings import PROJECT, Settings, SettingsError
from broker.settings.users import PatternRules, User


class AdoptionError(ValueError):
    """The files can't be adopted; the message has a line per problem and no secret."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """The result of an adoption."""

    settings: dict[str, Any]
    """The settings below ``sentient-mqtt:`` that differ from the defaults."""
    hashes: dict[str, str] = field(repr=False)
    """The hashes by user, for the secret ``hashes``."""
    remarks: tuple[str, ...]
    """A sentence for each assumption and for each line that settings can't express."""


def adopt(conf: str, texts: Mapping[str, str], place: Place, *, seed: str) -> Adoption:
    """
    Convert the file *conf* and the files that it names. *texts* are by name, relative to *conf*.

    *seed* is the seed of the salts for passwords in plain text.

    Raises:
        AdoptionError: a file must be corrected first.

    """
    notes = Notes()
    conf_file = read_conf(conf, texts, notes)
    logins, acl = _read_named(conf, conf_file, texts, seed, notes)
    users = _users(logins, acl, notes)
    settings: dict[str, Any] = {
        "broker": adopted_broker(conf, conf_file, place, users, notes),
        "users": users,
    }
    if acl and (patterns := _rules(PatternRules, acl.patterns, "all users", notes)):
        settings["patterns"] = patterns
    if notes.errors:
        raise AdoptionError("\n".join(notes.errors))
    try:
        Settings.parse(settings)
    except SettingsError as error:
        raise AdoptionError(str(error)) from None
    return Adoption(
        settings=settings,
        hashes={name: logins[name].hash for name in users},
        remarks=tuple(notes.remarks),
    )


def _read_named(
    conf: str, conf_file: ConfFile, texts: Mapping[str, str], seed: str, notes: Notes
) -> tuple[dict[str, Login], AclFile | None]:
    """Return the logins, and the rules; None instead of rules if no ACL file is named."""
    logins: dict[str, Login] = {}
    acl: AclFile | None = None
    for directive, (line, path) in conf_file.values.items():
        if directive not in ("password_file", "acl_file"):
            continue
        name = PurePosixPath(path).name
        if name not in texts:
            notes.error(line, f"{name!r} is not in the folder of {conf}; put it there")
        elif directive == "password_file":
            logins = read_passwords(name, texts[name], seed=seed, notes=notes)
            if not logins and not notes.errors:
                notes.error(line, f"{name!r} contains no login, so there is no user to adopt")
        else:
            acl = read_acl(name, texts[name], notes)
    if "password_file" not in conf_file.values:
        notes.errors.append(f"{conf}: has no password_file, so there is no login to adopt")
    if "acl_file" not in conf_file.values:
        notes.remarks.append(
            f"{conf}: has no acl_file, so every user may do everything, and keeps these rights; "
            "narrow 'readwrite' of each user"
        )
    elif acl is None:
        acl = AclFile()
    return logins, acl


def _users(
    logins: Mapping[str, Login], acl: AclFile | None, notes: Notes
) -> dict[str, dict[str, Any]]:
    """Return the users in the order of the ACL file, then those without rules."""
    if acl is None:
        everything = {"readwrite": ["#"], "read": ["$SYS/#"], "password": "adopted"}
        return {name: dict(everything) for name in logins}
    users: dict[str, dict[str, Any]] = {}
    for name, block in acl.blocks.items():
        if name in logins:
            users[name] = _user(name, block, logins, notes)
        else:
            notes.remark(
                block.line,
                f"has no login, so its {len(block.rules)} rules have no effect; not adopted",
            )
    for name, login in logins.items():
        if name not in users:
            users[name] = {"password": "adopted"}
        if not acl.blocks.get(name, UserBlock(line=login.line)).rules:
            notes.remark(
                login.line,
                "has no rules of its own, so it may do only what patterns allow; give it rules, or "
                "remove it",
                name,
            )
    return users


def _user(name: str, block: UserBlock, logins: Mapping[str, Login], notes: Notes) -> dict[str, Any]:
    described = {"description": block.description} if block.description else {}
    if described and _contains_password(block.description, logins[name], logins):
        described = {}
        notes.remark(block.line, "the comment above it contains a password; not adopted", "")
    return {**described, **_rules(User, block.rules, name, notes), "password": "adopted"}


def _contains_password(text: str, login: Login, logins: Mapping[str, Login]) -> bool:
    """Return whether *text* contains a plain-text password of any login, or that of *login*."""
    return any(known.plain and known.plain in text for known in logins.values()) or any(
        is_password(word, login.hash) for word in text.split()
    )


_ACCESSES: tuple[Access, ...] = ("readwrite", "read", "write", "deny")


def _rules(
    model: type[SettingsModel], rules: list[AclRule], owner: str, notes: Notes
) -> dict[str, list[str]]:
    """Return the filters by access. A rule that *model* rejects is a remark; a denial, an error."""
    found: dict[str, list[str]] = {access: [] for access in _ACCESSES}
    for rule in rules:
        problem = _validation_error(model, rule)
        if problem and rule.access == "deny":
            notes.error(
                rule.line,
                f"{problem}. Without this rule the topic would be allowed: change the topic",
            )
        elif problem:
            notes.remark(
                rule.line,
                f"{problem}. Not adopted: {owner} may no longer do this; change the topic here and "
                "in the clients",
            )
        elif rule.filter not in found[rule.access]:
            found[rule.access].append(rule.filter)
    return {access: filters for access, filters in found.items() if filters}


def _validation_error(model: type[SettingsModel], rule: AclRule) -> str:
    try:
        model.model_validate({rule.access: [rule.filter]})
    except ValidationError as error:
        return str(error.errors()[0]["ctx"]["error"])
    return ""


class _Filter(str):
    """A topic filter, which is always quoted, because '#' begins a comment."""

    __slots__ = ()


_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:-]*(?<!:)")


class _Dumper(yaml.SafeDumper):
    """YAML in the style of a stack file: mappings in block style, lists in flow style."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True

    def represent_text(self, text: str) -> yaml.Node:
        # YAML 1.2 has numbers that PyYAML treats as text, such as 1e3.
        node = self.represent_str(str(text))
        if isinstance(text, _Filter) or not _PLAIN.fullmatch(text):
            node.style = '"'
        return node

    def represent_words(self, words: list[Any]) -> yaml.Node:
        return self.represent_sequence("tag:yaml.org,2002:seq", words, flow_style=True)


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(_Filter, _Dumper.represent_text)
_Dumper.add_representer(list, _Dumper.represent_words)


def render_stack_file(settings: Mapping[str, Any]) -> str:
    """Return the text of ``Pulumi.<stack>.yaml``."""
    config = {f"{PROJECT}:{key}": _with_filters(value) for key, value in settings.items()}
    return yaml.dump({"config": config}, Dumper=_Dumper, sort_keys=False, width=100)


def _with_filters(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: [_Filter(text) for text in content] if key in _ACCESSES else _with_filters(content)
            for key, content in value.items()
        }
    return value
