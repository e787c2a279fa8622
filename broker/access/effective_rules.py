"""All rules that apply to each name that can log in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from broker.access.rules import Access, Kind, Principal, Rule
from broker.settings.stack_settings import Settings
from broker.settings.users import PARAMETER, Fleet, PatternRules, Role, User

HEALTH_TOPIC = "$SYS/broker/uptime"
"""The only topic that the health check may read; it is retained, so a reply is immediate."""

ACCESSES: tuple[Access, ...] = ("deny", "readwrite", "read", "write")
"""The order of the rules in a block: the same in which Mosquitto evaluates them."""


def effective_rules(settings: Settings) -> dict[str, Principal]:
    """Return the rules of all users, of the members of fleets and of the health check, by name."""
    patterns = tuple(pattern_rules(settings))
    blocks = {name: user_rules(name, user, settings.roles) for name, user in settings.users.items()}
    blocks |= {name: () for fleet in settings.fleets.values() for name in fleet.admitted}
    blocks[settings.broker.health.user] = health_rules()
    return {
        name: Principal(name=name, topics=tuple(rules), patterns=patterns)
        for name, rules in blocks.items()
    }


def user_rules(name: str, user: User, roles: Mapping[str, Role]) -> tuple[Rule, ...]:
    """Return the rules of a user's block: those of the user, then those of the user's roles."""
    rules = list(_rules("topic", user, f"users.{name}"))
    for use in user.roles:
        for rule in _rules("topic", roles[use.role], f"roles.{use.role}"):
            filter_ = PARAMETER.sub(lambda match: use.values[match[1]], rule.filter)  # noqa: B023
            rules.append(Rule(kind="topic", access=rule.access, filter=filter_, origin=rule.origin))
    # Denials come first, as Mosquitto evaluates them first. A duplicate line has no effect.
    rules.sort(key=lambda rule: rule.access != "deny")
    return tuple(dict.fromkeys(rules))


def pattern_rules(settings: Settings) -> Iterator[Rule]:
    """Yield the patterns, which apply to every user."""
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
