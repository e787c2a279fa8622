"""Who reads and writes which branch of the topic tree: all, some or none of it, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from broker.access.effective_rules import effective_rules
from broker.access.example_topic import find_example_topic
from broker.access.rules import Direction, Principal
from broker.access.topic_filters import includes
from broker.settings.stack_settings import Settings

Extent = Literal["all", "some", "none"]
SYSTEM = "$SYS/#"
LONGEST = 40
"""Characters of a party's name; beyond that its members are counted."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A part of the topic tree."""

    name: str
    filter: str
    outside: tuple[str, ...] = ()
    """Filters of other branches, which are not of this one."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """Users with the same access, or a fleet."""

    name: str
    members: tuple[str, ...]
    extents: Mapping[tuple[str, Direction], Extent]
    """By the name of a branch, and direction."""

    def extent(self, branch: Branch, direction: Direction) -> Extent:
        return self.extents[branch.name, direction]


@dataclass(frozen=True, kw_only=True)
class AccessGraph:
    """All parties and all branches."""

    branches: tuple[Branch, ...]
    parties: tuple[Party, ...]


def access_graph(settings: Settings) -> AccessGraph:
    """
    Return who reads and writes what.

    Users whose extents are the same in every branch are one party; a fleet is one whatever its
    size. What a fleet's patterns give a user as well, under a name that no member has, is left
    out: the ACL file knows no groups, and nobody sends there. The health check's user is not
    among them: it reads one topic of ``$SYS``.
    """
    everybody = effective_rules(settings)
    branches = _branches(settings, everybody)
    found: dict[tuple[tuple[tuple[str, Direction], Extent], ...], list[str]] = {}
    for name in settings.users:
        extents = _extents(_own(everybody[name]), branches)
        found.setdefault(tuple(extents.items()), []).append(name)
    parties = [
        Party(name=_named(names), members=tuple(names), extents=dict(extents))
        for extents, names in found.items()
    ]
    parties += [
        Party(
            name=f"fleet {kind} ({len(fleet.admitted):,})",
            members=tuple(fleet.admitted),
            extents=_extents(everybody[next(iter(fleet.admitted))], branches),
        )
        for kind, fleet in settings.fleets.items()
    ]
    return AccessGraph(branches=branches, parties=tuple(parties))


def _own(principal: Principal) -> Principal:
    patterns = tuple(each for each in principal.patterns if not each.origin.startswith("fleets."))
    return Principal(name=principal.name, topics=principal.topics, patterns=patterns)


def _named(names: list[str]) -> str:
    shown = ", ".join(names)
    return shown if len(shown) <= LONGEST else f"{names[0]} and {len(names) - 1} alike"


def _branches(settings: Settings, everybody: Mapping[str, Principal]) -> tuple[Branch, ...]:
    """Return the declared tree, or the widest filters in use; and $SYS where a rule names it."""
    used = dict.fromkeys(
        rule.written_for("+")
        for name, each in everybody.items()
        if name != settings.broker.health.user
        for rule in (*each.topics, *each.patterns)
        if rule.access != "deny"
    )
    if settings.topics:
        branches = [Branch(name=name, filter=each) for name, each in settings.topics.items()]
    else:
        plain = [each for each in used if not each.startswith("$") and each != "#"]
        widest = [
            each
            for each in plain
            if not any(other != each and includes(other, each) for other in plain)
        ]
        branches = [Branch(name=each, filter=each) for each in widest or ["#"]]
    named = tuple(each.filter for each in branches)
    if not any(includes(each, "#") for each in named):
        branches.append(Branch(name="elsewhere", filter="#", outside=named))
    if any(each.startswith("$SYS") for each in used):
        branches.append(Branch(name="$SYS", filter=SYSTEM))
    return tuple(branches)


def _extents(
    principal: Principal, branches: tuple[Branch, ...]
) -> dict[tuple[str, Direction], Extent]:
    directions: tuple[Direction, ...] = ("read", "write")
    return {
        (branch.name, direction): _extent(principal, direction, branch)
        for branch in branches
        for direction in directions
    }


def _extent(principal: Principal, direction: Direction, branch: Branch) -> Extent:
    def some_topic(*, allowed: bool) -> bool:
        example = find_example_topic(
            principal, direction, branch.filter, allowed=allowed, outside=branch.outside
        )
        return example is not None

    if not some_topic(allowed=True):
        return "none"
    return "some" if some_topic(allowed=False) else "all"
