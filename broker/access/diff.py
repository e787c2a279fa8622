"""Two revisions of one stack file compared: who gains and loses what, and what that costs."""

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
"""``changed`` is both wider and narrower; ``equivalent`` is other rules to the same effect."""
Effect = Literal["none", "reload", "replace"]
_Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class UserDiff:
    """What changed for one user or fleet; each topic is one for which it is true."""

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
    """What a reviewer wants to know of a change."""

    stack: str
    users: tuple[UserDiff, ...]
    rotated: tuple[str, ...]
    """Users, fleets and members of fleets whose password changes though they stay."""
    disconnected: tuple[str, ...]
    """Logins whose clients are disconnected by a reload; by a replacement everybody's are."""
    effect: Effect
    because: tuple[str, ...]
    """Settings, as paths, that need a new container."""
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    @property
    def changes(self) -> set[str]:
        """The kinds of change there are, as ``--fail-on`` names them."""
        kinds: set[str] = {each.change for each in self.users}
        if "changed" in kinds:
            kinds |= {"widened", "narrowed"}
        return (
            kinds
            | ({"rotated"} if self.rotated else set())
            | ({"replaced"} if self.effect == "replace" else set())
        )


def diff(stack: str, before: Settings, after: Settings) -> AccessDiff:
    """Compare by what rules let through, not by their text."""
    reviewed = review_access(after, stack)
    because = tuple(_container_changes(before, after))
    users = tuple(_user_diffs(before, after))
    rotated = tuple(_rotated(before, after))
    effect: Effect = "none"
    if because:
        effect = "replace"
    elif _read_by_a_reload(before) != _read_by_a_reload(after):
        effect = "reload"
    return AccessDiff(
        stack=stack,
        users=users,
        rotated=rotated,
        disconnected=disconnected_logins(stamps(before), stamps(after)),
        effect=effect,
        because=because,
        errors=of_severity("error", reviewed),
        warnings=of_severity("warning", reviewed),
    )


def _read_by_a_reload(settings: Settings) -> tuple[object, ...]:
    return (stamps(settings), render_acl(settings), render_conf(settings.broker))


def _spoken_of(settings: Settings) -> dict[str, Principal]:
    """Return users, and one member for each fleet: members differ in nothing but their name."""
    everybody = effective_rules(settings)
    spoken = {name: everybody[name] for name in settings.users}
    for kind, fleet in settings.fleets.items():
        spoken[f"fleet {kind}"] = Principal(
            name="%u", patterns=everybody[next(iter(fleet.admitted))].patterns
        )
    return spoken


def _user_diffs(before: Settings, after: Settings) -> Iterator[UserDiff]:
    old, new = _spoken_of(before), _spoken_of(after)
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
        lines = (_lines(was), _lines(now))
        yield UserDiff(
            name=name,
            change=change,
            may_now_read=read.gained,
            may_now_write=write.gained,
            no_longer_reads=read.lost,
            no_longer_writes=write.lost,
            added_rules=tuple(each for each in lines[1] if each not in lines[0]),
            removed_rules=tuple(each for each in lines[0] if each not in lines[1]),
        )


def _lines(principal: Principal | None) -> dict[str, None]:
    if principal is None:
        return {}
    return dict.fromkeys(rule.line for rule in (*principal.topics, *principal.patterns))


def _rotated(before: Settings, after: Settings) -> Iterator[str]:
    """Yield who is there before and after and has another password; a whole fleet by its kind."""
    old, new = _passwords(before), _passwords(after)
    changed = {name for name, password in new.items() if old.get(name, password) != password}
    yield from (name for name in after.users if name in changed)
    lengths = before.broker.passwords.length, after.broker.passwords.length
    for kind, fleet in after.fleets.items():
        former = before.fleets.get(kind)
        if former and (former.generation, lengths[0]) != (fleet.generation, lengths[1]):
            yield f"fleet {kind}"
        else:
            yield from (member for member in fleet.admitted if member in changed)


def _passwords(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return what the password of each user and each member hangs on, by name."""
    by_login = stamps(settings)
    active = {name: logins_of(name, user)[0].name for name, user in settings.users.items()}
    passwords: dict[str, tuple[str, ...]] = {
        name: (login, by_login[login]) for name, login in active.items()
    }
    for kind, fleet in settings.fleets.items():
        passwords |= {member: ("fleet", kind, by_login[member]) for member in fleet.admitted}
    return passwords


def _container_changes(before: Settings, after: Settings) -> Iterator[str]:
    """
    Yield the settings that need a new container, as paths.

    A setting does if it alone, changed in *before* or put back in *after*, changes what a
    container has from its start.
    """
    old, new = before.broker, after.broker
    # With the reserved listener: its port is a setting, too.
    needs = partial(start_needs, reserved=True)
    needed_before, needed_after = needs(old), needs(new)
    if needed_before == needed_after:
        return
    for path in _differing(old, new):
        changed, put_back = _with(old, path, _at(new, path)), _with(new, path, _at(old, path))
        if needs(changed) != needed_before or needs(put_back) != needed_after:
            yield _spelled("broker", old, path)


def _differing(was: object, now: object, path: _Path = ()) -> Iterator[_Path]:
    """Yield the path of each difference, in the names of fields and keys."""
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
    """Return *value* with *leaf* at *path*; not validated, for it is nobody's stack file."""
    name, *rest = path
    inner = _with(_at(value, (name,)), tuple(rest), leaf) if rest else leaf
    if isinstance(value, SettingsModel):
        return value.model_copy(update={name: inner})
    # No value of a mapping is None: that is one which is not there.
    return {key: part for key, part in {**value, name: inner}.items() if part is not None}


def _spelled(parent: str, value: Any, path: _Path) -> str:
    """Return *path* as the stack file spells it."""
    if not path:
        return parent
    name, *rest = path
    alias = type(value).model_fields[name].alias if isinstance(value, SettingsModel) else name
    return _spelled(f"{parent}.{alias}", _at(value, (name,)) if rest else None, tuple(rest))
