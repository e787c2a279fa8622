"""Who may receive and publish what, as plain data: what a preview shows of a changed rule."""

from broker.access.effective_rules import effective_rules, pattern_rules
from broker.access.rules import Rule
from broker.settings.stack_settings import Settings


def describe_access(settings: Settings) -> dict[str, dict[str, list[str]]]:
    """
    Return the ``read`` and ``write`` filters of each user and fleet, and ``deny`` where there are.

    In the order of the stack file: sorted, an added filter would shift the others, and a preview
    would show them all as changed. A user's own name stands for ``%u``; a fleet keeps it.
    """
    everybody = effective_rules(settings)
    access = {
        name: _by_direction(
            [(rule, rule.written_for(name)) for rule in (*each.topics, *each.patterns)]
        )
        for name, each in ((name, everybody[name]) for name in settings.users)
    }
    everybodys = [(rule, rule.filter) for rule in pattern_rules(settings)]
    return access | {f"fleet {kind}": _by_direction(everybodys) for kind in settings.fleets}


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
