"""A broker that was set up by hand, read from its files into the settings of a stack file."""

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
    Block,
    HandAcl,
    HandRule,
    Login,
    Notes,
    read_acl,
    read_passwords,
)
from broker.adopt.mosquitto_conf_parser import HandConf, read_conf
from broker.credentials.password_hashes import is_password
from broker.settings.base_model import SettingsModel
from broker.settings.stack_settings import PROJECT, Settings, SettingsError
from broker.settings.users import PatternRules, User


class AdoptionError(ValueError):
    """Files that can't be adopted as they are; one line for each thing to mend, and no secret."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """What becomes of the files."""

    settings: dict[str, Any]
    """As a stack file has them below ``sentient-mqtt:``; the rest are defaults."""
    hashes: dict[str, str] = field(repr=False)
    """By user, for the secret ``hashes``."""
    remarks: tuple[str, ...]
    """A sentence for each thing that was assumed, or that settings can't express."""


def adopt(conf: str, texts: Mapping[str, str], place: Place, *, seed: str) -> Adoption:
    """
    Read the file *conf*, and what it names, from *texts*: by name, in the folder of *conf*.

    *seed* is the salts', where a password stands in plain text.

    Raises:
        AdoptionError: something must be mended first.

    """
    notes = Notes()
    read = read_conf(conf, texts, notes)
    logins, acl = _read_named(conf, read, texts, seed, notes)
    users = _users(logins, acl, notes)
    settings: dict[str, Any] = {
        "broker": adopted_broker(conf, read, place, users, notes),
        "users": users,
    }
    if acl and (patterns := _rules(PatternRules, acl.patterns, "everybody", notes)):
        settings["patterns"] = patterns
    if notes.errors:
        raise AdoptionError("\n".join(notes.errors))
    try:
        Settings.parse(settings)
    except SettingsError as wrong:
        raise AdoptionError(str(wrong)) from None
    return Adoption(
        settings=settings,
        hashes={name: logins[name].hash for name in users},
        remarks=tuple(notes.remarks),
    )


def _read_named(
    conf: str, read: HandConf, texts: Mapping[str, str], seed: str, notes: Notes
) -> tuple[dict[str, Login], HandAcl | None]:
    """Return what the password file and the ACL file say; None for rules that are not there."""
    logins: dict[str, Login] = {}
    acl: HandAcl | None = None
    for directive, (line, path) in read.values.items():
        if directive not in ("password_file", "acl_file"):
            continue
        name = PurePosixPath(path).name
        if name not in texts:
            notes.error(line, f"there is no {name!r} beside {conf}; put it there")
        elif directive == "password_file":
            logins = read_passwords(name, texts[name], seed=seed, notes=notes)
            if not logins and not notes.errors:
                notes.error(line, f"no login is in {name!r}, so there is no user to adopt")
        else:
            acl = read_acl(name, texts[name], notes)
    if "password_file" not in read.values:
        notes.errors.append(
            f"{conf}: names no password_file, so nobody has a login; there is nothing to adopt"
        )
    if "acl_file" not in read.values:
        notes.remarks.append(
            f"{conf}: names no acl_file, so every user may do everything, and still may; narrow "
            "'readwrite' for each"
        )
    elif acl is None:
        acl = HandAcl()
    return logins, acl


def _users(
    logins: Mapping[str, Login], acl: HandAcl | None, notes: Notes
) -> dict[str, dict[str, Any]]:
    """Return the users in the order of the ACL, then those without rules."""
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
                f"has no login, so its {len(block.rules)} rules open nothing; not adopted",
            )
    for name, login in logins.items():
        if name not in users:
            users[name] = {"password": "adopted"}
        if not acl.blocks.get(name, Block(line=login.line)).rules:
            notes.remark(
                login.line,
                "has no rules of its own, so it may do only what patterns allow; give it rules, or "
                "take it out",
                name,
            )
    return users


def _user(name: str, block: Block, logins: Mapping[str, Login], notes: Notes) -> dict[str, Any]:
    described = {"description": block.description} if block.description else {}
    if described and _tells(block.description, logins[name], logins):
        described = {}
        notes.remark(block.line, "the comment above it holds a password; not adopted", "")
    return {**described, **_rules(User, block.rules, name, notes), "password": "adopted"}


def _tells(text: str, login: Login, logins: Mapping[str, Login]) -> bool:
    """Whether *text* holds anybody's password that stood in clear, or the one of *login*."""
    return any(each.plain and each.plain in text for each in logins.values()) or any(
        is_password(word, login.hash) for word in text.split()
    )


_ACCESSES: tuple[Access, ...] = ("readwrite", "read", "write", "deny")


def _rules(
    model: type[SettingsModel], rules: list[HandRule], whose: str, notes: Notes
) -> dict[str, list[str]]:
    """Return the filters by access; what *model* refuses is told, and a denial is never lost."""
    found: dict[str, list[str]] = {access: [] for access in _ACCESSES}
    for rule in rules:
        wrong = _refused(model, rule)
        if wrong and rule.access == "deny":
            notes.error(
                rule.line,
                f"{wrong}. Left out, it would open what it closes: change its topic",
            )
        elif wrong:
            notes.remark(
                rule.line,
                f"{wrong}. Not adopted: {whose} may no longer do this; change the topic, also in "
                "the clients",
            )
        elif rule.filter not in found[rule.access]:
            found[rule.access].append(rule.filter)
    return {access: filters for access, filters in found.items() if filters}


def _refused(model: type[SettingsModel], rule: HandRule) -> str:
    try:
        model.model_validate({rule.access: [rule.filter]})
    except ValidationError as wrong:
        return str(wrong.errors()[0]["ctx"]["error"])
    return ""


class _Filter(str):
    """A topic filter: always in quotes, as '#' begins a comment."""

    __slots__ = ()


_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:-]*(?<!:)")


class _Dumper(yaml.SafeDumper):
    """YAML as a person writes a stack file: mappings line by line, lists of words in one."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True

    def represent_text(self, text: str) -> yaml.Node:
        # YAML 1.2 has numbers that PyYAML takes for words, such as 1e3.
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
            key: [_Filter(each) for each in below] if key in _ACCESSES else _with_filters(below)
            for key, below in value.items()
        }
    return value
