"""What rules let through, decided for all topics at once, with a topic to show for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from broker.rules import Direction, Principal, Rule

# Stand for all levels that no rule names; the second for those that begin with '$', which only
# matters at the first place.
OTHER = "anything"
OTHER_SYSTEM = "$anything"


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


def witness(
    principal: Principal, direction: Direction, filter_: str, *, allowed: bool
) -> str | None:
    """Return a topic of *filter_* that *principal* may (or, if not *allowed*, may not) use."""
    within = Principal(name="", topics=(Rule(kind="topic", access="readwrite", filter=filter_),))
    machines = (_Machine.of(principal, direction), _Machine.of(within, direction))
    # Not even a rule for it opens $SYS for writing: the filter itself is not judged so.
    machines[1].closed = False
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

    def __init__(self, rules: Sequence[tuple[Rule, tuple[str, ...]]], *, closed: bool) -> None:
        self.rules = rules
        """In the order in which Mosquitto asks them, with the levels of their filters."""
        self.closed = closed
        """$SYS is closed, whatever the rules say."""

    @classmethod
    def of(cls, principal: Principal | None, direction: Direction) -> _Machine:
        if principal is None:
            return cls([], closed=True)
        return cls(
            [
                (rule, tuple(rule.written_for(principal.name).split("/")))
                for asked in principal.asked()
                for rule in asked
                if rule.speaks_of(direction)
            ],
            closed=direction == "write",
        )

    @property
    def literals(self) -> set[str]:
        named = {level for _, levels in self.rules for level in levels if level not in ("+", "#")}
        return named | {"$SYS"}

    @property
    def start(self) -> _State:
        return tuple((index, 0) for index in range(len(self.rules)))

    def step(self, state: _State, topic: tuple[str, ...]) -> _State:
        level = topic[-1]
        system = len(topic) == 1 and level.startswith("$")
        following: list[tuple[int, int]] = []
        for index, place in state:
            levels = self.rules[index][1]
            if place == len(levels) or (system and levels[place] in ("+", "#")):
                continue
            if levels[place] == "#":
                following.append((index, place))
            elif levels[place] in ("+", level):
                following.append((index, place + 1))
        return tuple(following)

    def verdict(self, state: _State, topic: tuple[str, ...]) -> bool:
        """Decide for the topic that ends here: the first rule whose filter ends here, too."""
        if self.closed and topic[0] == "$SYS":
            return False
        for index, place in state:
            rule, levels = self.rules[index]
            if place == len(levels) or levels[place] == "#":
                return rule.access != "deny"
        return False
