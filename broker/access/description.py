"""The access of users and fleets as plain data, which a preview compares."""

from broker.access.effective_rules import effective_rules, pattern_rules
from broker.access.rules import Rule
from broker.settings.stack_settings import Settings


def describe_access(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """
    Return the filters of each user and fleet by ``read``, ``write`` and, if any, ``deny``.

    Filters are in the order of the stack file. If they were sorted, an added one would shift the
    others, and a preview would show all of them as changed. ``%u`` is replaced by the user's name;
    a fleet keeps it.
    """
    principals = effective_rules(settings)
    access = {
        name: _by_direction(
            [(rule, rule.filter_for(name)) for rule in principals[name].all_rules()]
        )
        for name in settings.users
    }
    patterns = [(rule, rule.filter) for rule in pattern_rules(settings)]
    return access | {f"fleet {kind}": _by_direction(patterns) for kind in settings.fleets}


def _by_direction(rules: list[tuple[Rule, str]]) -> dict[str, list[str]]:
    described = {
        direction: list(
            dict.fromkeys(
                filter_ for rule, filter_ in rules if rule.access in (direction, "readwrite")
            )
        )
        for direction in ("read", "write")
    }
    denied = list(dict.fromkeys(filter_ for rule, filter_ in rules if rule.access == "deny"))
    return described | ({"deny": denied} if denied else {})
