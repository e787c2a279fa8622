"""The access graph: how much of each branch of the topic tree each party reads and writes."""

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
MAX_NAME_LENGTH = 40
"""Maximum length of a list of names; a longer one is abbreviated to a name and a count."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of the topic tree."""

    name: str
    filter: str
    outside: tuple[str, ...] = ()
    """Filters whose topics do not belong to this branch."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """Users with the same access, or a fleet."""

    name: str
    members: tuple[str, ...]
    extents: Mapping[tuple[str, Direction], Extent]
    """How much of a branch the party may use, by the branch's name and the direction."""

    def extent(self, branch: Branch, direction: Direction) -> Extent:
        return self.extents[branch.name, direction]


@dataclass(frozen=True, kw_only=True)
class AccessGraph:
    """All parties and all branches."""

    branches: tuple[Branch, ...]
    parties: tuple[Party, ...]


def access_graph(settings: Settings) -> AccessGraph:
    """
    Return the access graph of all users and fleets.

    Users with the same extents in every branch are one party, and so is a fleet of any size. The
    patterns of a fleet apply to users, too, because the ACL file has no groups; this access is
    omitted, as it concerns topics with the user's name that no member uses. The health check's
    user is omitted as well: it reads one topic of ``$SYS``.
    """
    principals = effective_rules(settings)
    branches = _branches(settings, principals)
    names_by_extents: dict[tuple[tuple[tuple[str, Direction], Extent], ...], list[str]] = {}
    for name in settings.users:
        extents = _extents(_without_fleet_patterns(principals[name]), branches)
        names_by_extents.setdefault(tuple(extents.items()), []).append(name)
    parties = [
        Party(name=_party_name(names), members=tuple(names), extents=dict(extents))
        for extents, names in names_by_extents.items()
    ]
    parties += [
        Party(
            name=f"fleet {kind} ({len(fleet.admitted):,})",
            members=tuple(fleet.admitted),
            extents=_extents(principals[next(iter(fleet.admitted))], branches),
        )
        for kind, fleet in settings.fleets.items()
    ]
    return AccessGraph(branches=branches, parties=tuple(parties))


def _without_fleet_patterns(principal: Principal) -> Principal:
    patterns = tuple(rule for rule in principal.patterns if not rule.origin.startswith("fleets."))
    return Principal(name=principal.name, topics=principal.topics, patterns=patterns)


def _party_name(names: list[str]) -> str:
    joined = ", ".join(names)
    return joined if len(joined) <= MAX_NAME_LENGTH else f"{names[0]} and {len(names) - 1} alike"


def _branches(settings: Settings, principals: Mapping[str, Principal]) -> tuple[Branch, ...]:
    """Return the declared branches or the widest filters in use, and $SYS if a rule names it."""
    used = dict.fromkeys(
        rule.filter_for("+")
        for name, principal in principals.items()
        if name != settings.broker.health.user
        for rule in principal.all_rules()
        if rule.access != "deny"
    )
    if settings.topics:
        branches = [Branch(name=name, filter=filter_) for name, filter_ in settings.topics.items()]
    else:
        plain = [filter_ for filter_ in used if not filter_.startswith("$") and filter_ != "#"]
        widest = [
            filter_
            for filter_ in plain
            if not any(other != filter_ and includes(other, filter_) for other in plain)
        ]
        branches = [Branch(name=filter_, filter=filter_) for filter_ in widest or ["#"]]
    named = tuple(branch.filter for branch in branches)
    if not any(includes(filter_, "#") for filter_ in named):
        branches.append(Branch(name="elsewhere", filter="#", outside=named))
    if any(filter_.startswith("$SYS") for filter_ in used):
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
