"""Everybody who may log in, each with all the rules that can decide about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from broker.access.rules import Access, Kind, Principal, Rule
from broker.settings.stack_settings import Settings
from broker.settings.users import PARAMETER, Fleet, PatternRules, Role, User

HEALTH_TOPIC = "$SYS/broker/uptime"
"""The one topic that the health check reads; retained, so that an answer comes at once."""

ACCESSES: tuple[Access, ...] = ("deny", "readwrite", "read", "write")
"""In the order in which a block is written: what Mosquitto asks first stands first."""


def effective_rules(settings: Settings) -> dict[str, Principal]:
    """Return users, the members of fleets, and the health check's user, by name."""
    patterns = tuple(pattern_rules(settings))
    blocks = {name: user_rules(name, user, settings.roles) for name, user in settings.users.items()}
    blocks |= {name: () for fleet in settings.fleets.values() for name in fleet.admitted}
    blocks[settings.broker.health.user] = health_rules()
    return {
        name: Principal(name=name, topics=tuple(rules), patterns=patterns)
        for name, rules in blocks.items()
    }


def user_rules(name: str, user: User, roles: Mapping[str, Role]) -> tuple[Rule, ...]:
    """Return the rules of a user's block: the user's own, then those of each role taken."""
    rules = list(_rules("topic", user, f"users.{name}"))
    for use in user.roles:
        for rule in _rules("topic", roles[use.role], f"roles.{use.role}"):
            filter_ = PARAMETER.sub(lambda found: use.values[found[1]], rule.filter)  # noqa: B023
            rules.append(Rule(kind="topic", access=rule.access, filter=filter_, origin=rule.origin))
    # Denials first, as Mosquitto asks; the same line twice says nothing more.
    rules.sort(key=lambda rule: rule.access != "deny")
    return tuple(dict.fromkeys(rules))


def pattern_rules(settings: Settings) -> Iterator[Rule]:
    """Yield the rules that are everybody's."""
    yield from _rules("pattern", settings.patterns, "patterns")
    for kind, fleet in settings.fleets.items():
        yield from _rules("pattern", fleet, f"fleets.{kind}")


def health_rules() -> tuple[Rule, ...]:
    return (Rule(kind="topic", access="read", filter=HEALTH_TOPIC, origin="broker.health"),)


def _rules(kind: Kind, source: User | Role | PatternRules | Fleet, origin: str) -> Iterable[Rule]:
    for access in ACCESSES:
        filters: tuple[str, ...] = getattr(source, access, ())
        for index, filter_ in enumerate(filters):
            yield Rule(
                kind=kind, access=access, filter=filter_, origin=f"{origin}.{access}[{index}]"
            )
