"""What rules let through, decided for all topics at once, with a topic to show for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.access.evaluate import BRIDGE_STATE
from broker.access.rules import Direction, Principal, Rule
from broker.access.topic_filters import includes, overlaps

# Stand for all levels that no rule names; the second for those that begin with '$', which only
# matters at the first place.
OTHER = "anything"
OTHER_SYSTEM = "$anything"

# In place of %c: a client is called what it likes, and 2.0 lets an id with '/' stand for several
# levels, one that begins with '$' for $SYS.
_ANY_NAME = "\0"
_BRIDGE = tuple(BRIDGE_STATE.split("/"))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed for one user in one direction; each is a topic for which it is true."""

    gained: str | None
    lost: str | None


def compare(before: Principal | None, after: Principal | None, direction: Direction) -> Difference:
    """Return a topic that *after* may and *before* may not, and one the other way round."""
    machines = (_Machine.of(before, direction), _Machine.of(after, direction))
    return Difference(
        gained=_find(machines, lambda was, now: now and not was),
        lost=_find(machines, lambda was, now: was and not now),
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
    Return a topic of *filter_* that *principal* may (or, if not *allowed*, may not) use.

    None of the filters *outside* matches it.
    """
    outside = tuple(outside)
    within = Principal(
        name="",
        topics=(
            *(Rule(kind="topic", access="deny", filter=each) for each in outside),
            Rule(kind="topic", access="readwrite", filter=filter_),
        ),
    )
    machines = (
        _Machine.of(principal, direction, within=filter_, outside=outside),
        _Machine.of(within, direction),
    )
    if allowed and not machines[0].allows:
        return None
    # Not even a rule for it opens $SYS for writing: the filter itself is not judged so.
    machines[1].guarded = None
    return _find(machines, lambda may, inside: inside and may == allowed)


def _find(machines: Sequence[_Machine], wanted: Callable[..., bool]) -> str | None:
    """
    Return a shortest topic for which *wanted* is true of the machines' verdicts.

    Exact for any number of rules, denials included: it walks all levels that the rules can tell
    apart, breadth first, and topics that no rule tells apart are looked at once.
    """
    literals = sorted(set[str]().union(*(machine.literals for machine in machines)))
    start = tuple(machine.start for machine in machines)
    # Not the start: no topic ends there, and a filter of # alone comes back to it.
    seen: set[tuple[_State, ...]] = set()
    queue: deque[tuple[tuple[_State, ...], tuple[str, ...]]] = deque([(start, ())])
    while queue:
        states, path = queue.popleft()
        for level in _alphabet(literals, first=not path):
            topic = (*path, level)
            following = tuple(
                machine.step(state, topic) for machine, state in zip(machines, states, strict=True)
            )
            if following in seen:
                continue
            seen.add(following)
            verdicts = (
                machine.verdict(state, topic)
                for machine, state in zip(machines, following, strict=True)
            )
            if wanted(*verdicts):
                return "/".join(topic)
            if any(following):
                queue.append((following, topic))
    return None


def _alphabet(literals: Iterable[str], *, first: bool) -> Iterator[str]:
    # What rules don't name comes first: a witness should be a topic of its own, where one will do.
    yield OTHER
    yield from literals
    if first:
        yield OTHER_SYSTEM


# For each rule that still may match: its place among the rules, and how many of its levels the
# topic has used up.
_State = tuple[tuple[int, int], ...]


class _Machine:
    """The rules of one user in one direction, read level by level."""

    def __init__(
        self, rules: Sequence[tuple[Rule, tuple[str, ...]]], *, guarded: Direction | None
    ) -> None:
        self.rules = rules
        """In the order in which Mosquitto asks them, with the levels of their filters."""
        self.guarded = guarded
        """The direction in which the broker keeps some topics to itself, whatever rules say."""

    @classmethod
    def of(
        cls,
        principal: Principal | None,
        direction: Direction,
        *,
        within: str | None = None,
        outside: tuple[str, ...] = (),
    ) -> _Machine:
        """Return the rules of *principal*: where *within* is given, those that matter inside it."""
        if principal is None:
            return cls([], guarded=direction)
        rules = [
            (rule, _levels(rule, principal.name))
            for asked in principal.asked()
            for rule in asked
            if rule.speaks_of(direction)
        ]
        # Whom a denial names by client id is whoever calls itself so: it keeps nobody out.
        return cls(
            [
                (rule, levels)
                for rule, levels in rules
                if (rule.access != "deny" or _ANY_NAME not in levels)
                and (
                    within is None
                    or rule.kind == "pattern"
                    or _decides(rule.filter, within, outside)
                )
            ],
            guarded=direction,
        )

    @property
    def allows(self) -> bool:
        """Whether one of the rules gives access to anything."""
        return any(rule.access != "deny" for rule, _ in self.rules)

    @property
    def literals(self) -> set[str]:
        named = {level for _, levels in self.rules for level in levels}
        return (named | {*_BRIDGE}) - {"+", "#", _ANY_NAME}

    @property
    def start(self) -> _State:
        # Behind the rules, the branch of $SYS that is open: it decides nothing by itself.
        return tuple((index, 0) for index in range(len(self.rules) + 1))

    def step(self, state: _State, topic: tuple[str, ...]) -> _State:
        level = topic[-1]
        system = len(topic) == 1 and level.startswith("$")
        following: list[tuple[int, int]] = []
        for index, place in state:
            levels = self._levels_of(index)
            if place == len(levels) or (system and levels[place] in ("+", "#")):
                continue
            if levels[place] in ("#", _ANY_NAME):
                following.append((index, place))
            if levels[place] in ("+", level, _ANY_NAME):
                following.append((index, place + 1))
        return tuple(dict.fromkeys(following))

    def verdict(self, state: _State, topic: tuple[str, ...]) -> bool:
        """Decide for the topic that ends here: the first rule whose filter ends here, too."""
        ended = [
            index
            for index, place in state
            if place == len(self._levels_of(index)) or self._levels_of(index)[place] == "#"
        ]
        if self.guarded and topic[0].startswith("$share"):
            return False
        if self.guarded == "write" and topic[0].startswith("$SYS") and len(self.rules) not in ended:
            return False
        return any(
            self.rules[index][0].access != "deny" for index in ended[:1] if index < len(self.rules)
        )

    def _levels_of(self, index: int) -> tuple[str, ...]:
        return self.rules[index][1] if index < len(self.rules) else _BRIDGE


def _decides(filter_: str, within: str, outside: tuple[str, ...]) -> bool:
    """Return whether *filter_* matches a topic of *within*, and not only topics of *outside*."""
    return overlaps(filter_, within) and not any(includes(other, filter_) for other in outside)


def _levels(rule: Rule, user: str) -> tuple[str, ...]:
    levels = rule.filter.split("/")
    if rule.kind == "topic":
        return tuple(levels)
    return tuple({"%u": user, "%c": _ANY_NAME}.get(level, level) for level in levels)
