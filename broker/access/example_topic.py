"""Find a topic that a user may or may not use; exact for all topics, wildcards included."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.access.evaluate import BRIDGE_STATE
from broker.access.rules import Direction, Principal, Rule
from broker.access.topic_filters import includes, overlaps

# They represent all levels that no rule names; the second one represents those that begin with
# '$', which matters only for the first level.
OTHER = "anything"
OTHER_SYSTEM = "$anything"

# Replaces %c: a client chooses its id. In 2.0, an id with '/' spans several levels, and one that
# begins with '$' can match $SYS.
_ANY_CLIENT_ID = "\0"
_BRIDGE_STATE_LEVELS = tuple(BRIDGE_STATE.split("/"))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An example of a topic that a user may use now, and of one that it no longer may."""

    gained: str | None
    lost: str | None


def compare(before: Principal | None, after: Principal | None, direction: Direction) -> Difference:
    """Return a topic that only *after* may use, and a topic that only *before* may use."""
    automata = (_RuleAutomaton.of(before, direction), _RuleAutomaton.of(after, direction))
    return Difference(
        gained=_find(automata, lambda was, now: now and not was),
        lost=_find(automata, lambda was, now: was and not now),
    )


def find_example_topic(
    principal: Principal,
    direction: Direction,
    filter_: str,
    *,
    allowed: bool,
    outside: Iterable[str] = (),
) -> str | None:
    """
    Return a topic that *filter_* matches and that *principal* may (if not *allowed*: may not) use.

    The topic matches none of the filters *outside*.
    """
    outside = tuple(outside)
    within = Principal(
        name="",
        topics=(
            *(Rule(kind="topic", access="deny", filter=excluded) for excluded in outside),
            Rule(kind="topic", access="readwrite", filter=filter_),
        ),
    )
    automata = (
        _RuleAutomaton.of(principal, direction, within=filter_, outside=outside),
        _RuleAutomaton.of(within, direction),
    )
    if allowed and not automata[0].allows_anything:
        return None
    # *filter_* is matched, not evaluated as a rule: the broker's restrictions do not apply to it.
    automata[1].restricted = None
    return _find(automata, lambda may, inside: inside and may == allowed)


def _find(automata: Sequence[_RuleAutomaton], condition: Callable[..., bool]) -> str | None:
    """
    Return a shortest topic for which *condition* is true of the automata's decisions.

    The result is exact for any number of rules, denials included. A breadth-first search visits
    all combinations of levels that the rules distinguish, and equivalent topics only once.
    """
    literals = sorted(set[str]().union(*(automaton.literals for automaton in automata)))
    start = tuple(automaton.start for automaton in automata)
    # Without the start: it is no topic, and the filter # returns to the same state.
    visited: set[tuple[tuple[_State, ...], bool]] = set()
    queue: deque[tuple[tuple[_State, ...], tuple[str, ...]]] = deque([(start, ())])
    while queue:
        states, path = queue.popleft()
        for level in _alphabet(literals, first=not path):
            topic = (*path, level)
            following = tuple(
                automaton.step(state, topic)
                for automaton, state in zip(automata, states, strict=True)
            )
            # A level may be empty, but a topic may not: this one is a step to longer topics only.
            if topic == ("",):
                queue.append((following, topic))
                continue
            # The broker's own decision about $CONTROL/... is not in the states of the automata.
            key = following, _is_control(topic)
            if key in visited:
                continue
            visited.add(key)
            decisions = (
                automaton.allows(state, topic)
                for automaton, state in zip(automata, following, strict=True)
            )
            if condition(*decisions):
                return "/".join(topic)
            if any(following):
                queue.append((following, topic))
    return None


def _alphabet(literals: Iterable[str], *, first: bool) -> Iterator[str]:
    # Levels that no rule names come first, so that an example does not repeat a rule if possible.
    yield OTHER
    yield from literals
    if first:
        yield OTHER_SYSTEM


# For each rule that may still match: its index, and how many of its levels are matched.
_State = tuple[tuple[int, int], ...]


class _RuleAutomaton:
    """An automaton that evaluates the rules of one user in one direction, level by level."""

    def __init__(
        self, rules: Sequence[tuple[Rule, tuple[str, ...]]], *, restricted: Direction | None
    ) -> None:
        self.rules = rules
        """The rules in order of evaluation, with the levels of their filters."""
        self.restricted = restricted
        """The direction whose restrictions by the broker itself (``$SYS``, ``$share``) apply."""

    @classmethod
    def of(
        cls,
        principal: Principal | None,
        direction: Direction,
        *,
        within: str | None = None,
        outside: tuple[str, ...] = (),
    ) -> _RuleAutomaton:
        """
        Return the automaton of the rules of *principal*.

        Where *within* is given, rules that decide about none of its topics are left out.
        """
        if principal is None:
            return cls([], restricted=direction)
        rules = (
            (rule, _levels(rule, principal.name))
            for rule in principal.in_order_of_evaluation()
            if rule.covers(direction)
        )
        # A denial by client id has no effect, because a client can choose another id.
        return cls(
            [
                (rule, levels)
                for rule, levels in rules
                if (rule.access != "deny" or _ANY_CLIENT_ID not in levels)
                and (
                    within is None
                    or rule.kind == "pattern"
                    or _decides(rule.filter, within, outside)
                )
            ],
            restricted=direction,
        )

    @property
    def allows_anything(self) -> bool:
        """Whether one of the rules gives access to anything."""
        return any(rule.access != "deny" for rule, _ in self.rules)

    @property
    def literals(self) -> set[str]:
        named = {level for _, levels in self.rules for level in levels}
        return (named | {*_BRIDGE_STATE_LEVELS}) - {"+", "#", _ANY_CLIENT_ID}

    @property
    def start(self) -> _State:
        # The last index is BRIDGE_STATE, which is tracked but is not a rule.
        return tuple((index, 0) for index in range(len(self.rules) + 1))

    def step(self, state: _State, topic: tuple[str, ...]) -> _State:
        level = topic[-1]
        system = len(topic) == 1 and level.startswith("$")
        following: list[tuple[int, int]] = []
        for index, position in state:
            levels = self._levels_of(index)
            if position == len(levels) or (system and levels[position] in ("+", "#")):
                continue
            if levels[position] in ("#", _ANY_CLIENT_ID):
                following.append((index, position))
            if levels[position] in ("+", level, _ANY_CLIENT_ID):
                following.append((index, position + 1))
        return tuple(dict.fromkeys(following))

    def allows(self, state: _State, topic: tuple[str, ...]) -> bool:
        """Return the decision for *topic*, whose last step led to *state*: the first match wins."""
        matching = [
            index
            for index, position in state
            if position == len(self._levels_of(index)) or self._levels_of(index)[position] == "#"
        ]
        if self.restricted and topic[0].startswith("$share"):
            return False
        if self.restricted == "read" and _is_control(topic):
            return False
        bridge_state = len(self.rules) in matching
        if self.restricted == "write" and topic[0].startswith("$SYS") and not bridge_state:
            return False
        return any(
            self.rules[index][0].access != "deny"
            for index in matching[:1]
            if index < len(self.rules)
        )

    def _levels_of(self, index: int) -> tuple[str, ...]:
        return self.rules[index][1] if index < len(self.rules) else _BRIDGE_STATE_LEVELS


def _is_control(topic: tuple[str, ...]) -> bool:
    return topic[0] == "$CONTROL" and len(topic) > 1


def _decides(filter_: str, within: str, outside: tuple[str, ...]) -> bool:
    """Return whether *filter_* matches a topic of *within*, and not only topics of *outside*."""
    return overlaps(filter_, within) and not any(includes(other, filter_) for other in outside)


def _levels(rule: Rule, user: str) -> tuple[str, ...]:
    levels = rule.filter.split("/")
    if rule.kind == "topic":
        return tuple(levels)
    return tuple({"%u": user, "%c": _ANY_CLIENT_ID}.get(level, level) for level in levels)
