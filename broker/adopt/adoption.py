"""Convert the files of an existing broker to the settings of a stack file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import ValidationError

from broker.access.rules import Access as RuleAccess
from broker.adopt.adopted_settings import (
    Place,
    adopted_broker,
    adopted_listeners,
    default_image,
)
from broker.adopt.listener_access import (
    Access,
    note_client_ids,
    read_access,
    rules_without_login,
)
from broker.adopt.login_files import AclRule, Login, Notes, UserBlock
from broker.adopt.mosquitto_conf_parser import ConfFile, read_conf
from broker.credentials.password_hashes import hash_iterations, is_password
from broker.mosquitto.release_line import IMAGE_OF_2_1, ReleaseLine, release_line
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


def adopt(conf: str, texts: Mapping[str, str], place: Place) -> Adoption:
    """
    Convert the file *conf* and the files that it names. *texts* are by name, relative to *conf*.

    Raises:
        AdoptionError: a file must be corrected first.

    """
    notes = Notes()
    line, conf_file = _read_conf(conf, texts, place, notes)
    listeners = adopted_listeners(conf, conf_file, notes)
    access = read_access(
        conf,
        conf_file,
        listeners.values(),
        texts=texts,
        folder=place.config,
        notes=notes,
        release_line=line,
    )
    note_client_ids(conf_file, listeners.values(), access.acl, notes)
    if access.acl is None:
        notes.remarks.append(
            f"{conf}: has no acl_file, so every user may do everything, and keeps these rights, "
            "except for topics that begin with '$': they may be read below $SYS only, and no user "
            "may publish to any ($aws/..., $SYS/broker/connection/+/state). Name those that are "
            "used, and narrow 'readwrite' of each user"
        )
    users = _users(conf_file, access, notes)
    settings: dict[str, Any] = {
        "broker": adopted_broker(
            conf, conf_file, listeners, place=place, users=users, files=access.files, notes=notes
        ),
        "users": users,
    }
    if access.acl and (patterns := _rules(PatternRules, access.acl.patterns, "all users", notes)):
        settings["patterns"] = patterns
    if notes.errors:
        raise AdoptionError("\n".join(notes.errors))
    try:
        Settings.parse(settings)
    except SettingsError as error:
        raise AdoptionError(str(error)) from None
    return Adoption(
        settings=settings,
        hashes={name: login.hash for name, login in access.logins.items() if login.hash},
        remarks=tuple(notes.remarks),
    )


def _read_conf(
    conf: str, texts: Mapping[str, str], place: Place, notes: Notes
) -> tuple[ReleaseLine, ConfFile]:
    """Read *conf* as the release line of the image does, or as 2.0 if the image is not known."""
    line = release_line(place.image or default_image())
    conf_file = read_conf(conf, texts, notes, line)
    new = conf_file.only_2_1
    if place.image is not None:
        if new and line == "2.0":
            notes.error(new, f"{place.image} doesn't know this: name an image of 2.1")
        return line, conf_file
    if new:
        notes.clear()
        conf_file = read_conf(conf, texts, notes, "2.1")
        notes.remark(new, f"is of Mosquitto 2.1; use --image {IMAGE_OF_2_1} if that is to stay")
        return "2.1", conf_file
    by_2_1 = Notes()
    other = read_conf(conf, texts, by_2_1, "2.1")
    if not by_2_1.errors and other.opened() != conf_file.opened():
        closed = sorted(port for port, *_ in other.opened() - conf_file.opened())
        if conf_file.opened() - other.opened():
            notes.errors.append(
                f"{conf}: 2.0 and 2.1 open different listeners with it; use --image with the "
                "image that runs now"
            )
        else:
            notes.remarks.append(
                f"{conf}: 2.1 listens on port {', '.join(map(str, closed))}, too, which is not "
                f"adopted; if the broker is 2.1, use --image {IMAGE_OF_2_1}"
            )
    return line, conf_file


def _users(conf_file: ConfFile, access: Access, notes: Notes) -> dict[str, dict[str, Any]]:
    """Return the users in the order of the ACL file, then those without rules."""
    logins, acl = access.logins, access.acl
    passwords = {
        name: {"password": "adopted"} if login.hash else {} for name, login in logins.items()
    }
    if acl is None:
        everything = {"readwrite": ["#"], "read": ["$SYS/#"]}
        return {name: {**everything, **password} for name, password in passwords.items()}
    users: dict[str, dict[str, Any]] = {}
    comments = _Comments(logins)
    for name, block in acl.blocks.items():
        if name in logins:
            users[name] = {**_user(name, block, comments, notes), **passwords[name]}
        else:
            notes.remark(block.line, rules_without_login(conf_file, block))
    for name, login in logins.items():
        if name not in users:
            users[name] = passwords[name]
        if not acl.blocks.get(name, UserBlock(line=login.line)).rules:
            notes.remark(
                login.line,
                "has no rules of its own, so it may do only what patterns allow; give it rules, or "
                "remove it",
                name,
            )
    return users


def _user(name: str, block: UserBlock, comments: _Comments, notes: Notes) -> dict[str, Any]:
    described = {"description": block.description} if block.description else {}
    if described and (reason := comments.reason_to_drop(block.description, name)):
        described = {}
        notes.remark(block.line, f"the comment above it {reason}; not adopted", "")
    return {**described, **_rules(User, block.rules, name, notes)}


MAX_ITERATIONS = 2_000_000
"""For all comments together: about a second."""


@dataclass
class _Comments:
    """Finds comments that contain a password, and stops when that takes too long."""

    logins: Mapping[str, Login]
    iterations: int = 0

    def reason_to_drop(self, text: str, name: str) -> str:
        """Return why *text* may contain a password: of any login in plain text, or of *name*."""
        if any(known.plain and known.plain in text for known in self.logins.values()):
            return "contains a password"
        hashed = self.logins[name].hash
        if not hashed:
            return ""
        words = text.split()
        self.iterations += len(words) * hash_iterations(hashed)
        if self.iterations > MAX_ITERATIONS:
            return "may contain a password, which takes too long to find out"
        if any(is_password(word, hashed) for word in words):
            return "contains a password" if hash_iterations(hashed) else "may contain a password"
        return ""


_ACCESSES: tuple[RuleAccess, ...] = ("readwrite", "read", "write", "deny")


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
        details = error.errors()[0]
        return str(details.get("ctx", {}).get("error", details["msg"]))
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
