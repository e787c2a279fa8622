"""Sentences about who may do what, held against the rules for every topic at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from broker.access.example_topic import find_example_topic
from broker.access.rules import Direction, Principal, Rule

_SENTENCE = re.compile(
    r"(?:(?P<nobody>nobody)(?: but (?P<but>\S+(?:, ?\S+)*))?|(?P<user>\S+))"
    r" may (?P<not>not )?(?P<direction>read|write) (?P<filter>\S.*)"
)
GRAMMAR = (
    "an expectation reads 'USER may write FILTER', 'USER may not read FILTER', "
    "'nobody may write FILTER' or 'nobody but USER, USER may read FILTER'"
)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What somebody who declares users relies on."""

    text: str
    filter: str
    direction: Direction
    allowed: bool
    user: str | None = None
    """The one it speaks of; None for everybody."""
    but: tuple[str, ...] = ()
    """Users that a sentence about everybody does not speak of."""

    @classmethod
    def parse(cls, text: str) -> Expectation:
        """
        Read a sentence.

        Raises:
            ValueError: it isn't one, or is a double negative.

        """
        found = _SENTENCE.fullmatch(text)
        if found is None or (found["nobody"] and found["not"]):
            raise ValueError(GRAMMAR)
        return cls(
            text=text,
            filter=found["filter"],
            direction="read" if found["direction"] == "read" else "write",
            allowed=not (found["nobody"] or found["not"]),
            user=found["user"],
            but=tuple(re.split(r", ?", found["but"])) if found["but"] else (),
        )

    def about(self, principals: Mapping[str, Principal]) -> Iterator[Principal]:
        """Yield those of whom it speaks."""
        if self.user is not None:
            yield principals[self.user]
        else:
            yield from (each for name, each in principals.items() if name not in self.but)


@dataclass(frozen=True, kw_only=True)
class Breach:
    """An expectation that is not true, and a topic to show it."""

    expectation: Expectation
    user: str
    topic: str

    def __str__(self) -> str:
        may = "may not" if self.expectation.allowed else "may"
        return f"not so: {self.user} {may} {self.expectation.direction} {self.topic}"


def breaches(expectation: Expectation, principals: Mapping[str, Principal]) -> list[Breach]:
    """Return a breach for each user for whom the sentence is false; of a fleet, for one member."""
    return [
        Breach(expectation=expectation, user=principal.name, topic=topic)
        for principal in _apart(expectation, expectation.about(principals))
        if (
            topic := find_example_topic(
                principal,
                expectation.direction,
                expectation.filter,
                allowed=not expectation.allowed,
            )
        )
    ]


def _apart(expectation: Expectation, principals: Iterable[Principal]) -> Iterator[Principal]:
    """
    Yield those for whom the answer can be another one than for somebody before them.

    Members of fleets have patterns alone, and the same ones: they differ in their name, so only
    where a rule or the sentence spells it out. Ten thousand would take seconds, one by one.
    """
    spelt: dict[tuple[Rule, ...], set[str]] = {}
    for principal in principals:
        if not principal.topics:
            rules = principal.patterns
            if rules in spelt and principal.name not in spelt[rules]:
                continue
            filters = (expectation.filter, *(rule.filter for rule in rules))
            spelt[rules] = {level for filter_ in filters for level in filter_.split("/")}
        yield principal
