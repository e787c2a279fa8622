"""Compare two revisions of a stack file: changed access, and the effect on the broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import compare
from broker.access.review import review_access
from broker.access.rules import Principal
from broker.credentials.logins import disconnected as disconnected_logins
from broker.credentials.logins import logins_of, stamps
from broker.findings import Finding, of_severity
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.mosquitto.reload_or_replace import start_needs
from broker.settings.base_model import SettingsModel
from broker.settings.stack_settings import Settings

Change = Literal["added", "removed", "widened", "narrowed", "changed", "equivalent"]
"""``changed`` is both widened and narrowed; ``equivalent``: other rules, the same access."""
Effect = Literal["none", "reload", "replace"]
_Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UserDiff:
    """What changed for one user or fleet; the topics are examples."""

    name: str
    change: Change
    may_now_read: str | None = None
    may_now_write: str | None = None
    no_longer_reads: str | None = None
    no_longer_writes: str | None = None
    added_rules: tuple[str, ...] = ()
    removed_rules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AccessDiff:
    """The effects of a change on access, logins, connections and the container."""

    stack: str
    users: tuple[UserDiff, ...]
    rotated: tuple[str, ...]
    """Users, fleets and members of fleets that remain and get another password."""
    disconnected: tuple[str, ...]
    """Logins whose clients a reload disconnects; a replacement disconnects all clients."""
    effect: Effect
    because: tuple[str, ...]
    """Paths of the settings that replace the container."""
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    @property
    def changes(self) -> set[str]:
        """The kinds of change in the diff, as in ``--fail-on``."""
        kinds: set[str] = {user.change for user in self.users}
        if "changed" in kinds:
            kinds |= {"widened", "narrowed"}
        return (
            kinds
            | ({"rotated"} if self.rotated else set())
            | ({"replaced"} if self.effect == "replace" else set())
        )


def diff(stack: str, before: Settings, after: Settings) -> AccessDiff:
    """Compare two revisions by the access that the rules grant, and not by their text."""
    findings = review_access(after, stack)
    because = tuple(_container_changes(before, after))
    users = tuple(_user_diffs(before, after))
    rotated = tuple(_rotated(before, after))
    effect: Effect = "none"
    if because:
        effect = "replace"
    elif _reloaded_files(before) != _reloaded_files(after):
        effect = "reload"
    return AccessDiff(
        stack=stack,
        users=users,
        rotated=rotated,
        disconnected=disconnected_logins(stamps(before), stamps(after)),
        effect=effect,
        because=because,
        errors=of_severity("error", findings),
        warnings=of_severity("warning", findings),
    )


def _reloaded_files(settings: Settings) -> tuple[object, ...]:
    return (stamps(settings), render_acl(settings), render_conf(settings.broker))


def _users_and_fleets(settings: Settings) -> dict[str, Principal]:
    """Return the rules of users and, for each fleet, of one member, as ``fleet KIND``."""
    principals = effective_rules(settings)
    compared = {name: principals[name] for name in settings.users}
    for kind, fleet in settings.fleets.items():
        compared[f"fleet {kind}"] = Principal(
            name="%u", patterns=principals[next(iter(fleet.admitted))].patterns
        )
    return compared


def _user_diffs(before: Settings, after: Settings) -> Iterator[UserDiff]:
    old, new = _users_and_fleets(before), _users_and_fleets(after)
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        read, write = compare(was, now, "read"), compare(was, now, "write")
        gained, lost = read.gained or write.gained, read.lost or write.lost
        change: Change = "equivalent"
        if was is None:
            change = "added"
        elif now is None:
            change = "removed"
        elif gained and lost:
            change = "changed"
        elif gained or lost:
            change = "widened" if gained else "narrowed"
        old_lines, new_lines = _lines(was), _lines(now)
        yield UserDiff(
            name=name,
            change=change,
            may_now_read=read.gained,
            may_now_write=write.gained,
            no_longer_reads=read.lost,
            no_longer_writes=write.lost,
            added_rules=tuple(line for line in new_lines if line not in old_lines),
            removed_rules=tuple(line for line in old_lines if line not in new_lines),
        )


def _lines(principal: Principal | None) -> dict[str, None]:
    if principal is None:
        return {}
    return dict.fromkeys(rule.line for rule in principal.all_rules())


def _rotated(before: Settings, after: Settings) -> Iterator[str]:
    """Yield the users and members that remain and get another password, or their whole fleet."""
    old, new = _passwords(before), _passwords(after)
    changed = {name for name, password in new.items() if old.get(name, password) != password}
    yield from (name for name in after.users if name in changed)
    same_length = before.broker.passwords.length == after.broker.passwords.length
    for kind, fleet in after.fleets.items():
        previous = before.fleets.get(kind)
        if previous and (previous.generation != fleet.generation or not same_length):
            yield f"fleet {kind}"
        else:
            yield from (member for member in fleet.admitted if member in changed)


def _passwords(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return, by name, values that change whenever the password of a user or member does."""
    stamp_of_login = stamps(settings)
    active = {name: logins_of(name, user)[0].name for name, user in settings.users.items()}
    passwords: dict[str, tuple[str, ...]] = {
        name: (login, stamp_of_login[login]) for name, login in active.items()
    }
    for kind, fleet in settings.fleets.items():
        passwords |= {member: ("fleet", kind, stamp_of_login[member]) for member in fleet.admitted}
    return passwords


def _container_changes(before: Settings, after: Settings) -> Iterator[str]:
    """
    Yield the paths of the settings that replace the container.

    A setting is one of them if its change alone, made in *before* or reverted in *after*, changes
    the start digest's inputs.
    """
    old, new = before.broker, after.broker
    # The reserved listener is included, because its port is a setting.
    inputs_of = partial(start_needs, reserved=True)
    old_inputs, new_inputs = inputs_of(old), inputs_of(new)
    if old_inputs == new_inputs:
        return
    for path in _differing(old, new):
        changed, reverted = _with(old, path, _at(new, path)), _with(new, path, _at(old, path))
        if inputs_of(changed) != old_inputs or inputs_of(reverted) != new_inputs:
            yield _stack_file_path("broker", old, path)


def _differing(was: object, now: object, path: _Path = ()) -> Iterator[_Path]:
    """Yield the path of each difference, as names of fields and keys."""
    if isinstance(was, SettingsModel) and type(was) is type(now):
        for name in type(was).model_fields:
            yield from _differing(getattr(was, name), getattr(now, name), (*path, name))
    elif isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*was, *now)):
            yield from _differing(was.get(key), now.get(key), (*path, key))
    elif was != now:
        yield path


def _at(value: Any, path: _Path) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name)
    return value


def _with(value: Any, path: _Path, leaf: Any) -> Any:
    """Return *value* with *leaf* at *path*, without validation."""
    name, *rest = path
    inner = _with(_at(value, (name,)), tuple(rest), leaf) if rest else leaf
    if isinstance(value, SettingsModel):
        return value.model_copy(update={name: inner})
    # None means that the key is absent; no mapping has None as a value.
    return {key: item for key, item in {**value, name: inner}.items() if item is not None}


def _stack_file_path(parent: str, value: Any, path: _Path) -> str:
    """Return *path* as the stack file spells it."""
    if not path:
        return parent
    name, *rest = path
    alias = type(value).model_fields[name].alias if isinstance(value, SettingsModel) else name
    return _stack_file_path(f"{parent}.{alias}", _at(value, (name,)) if rest else None, tuple(rest))
