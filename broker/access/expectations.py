"""Expectations: statements about access that the rules must satisfy for every topic."""

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
    """A statement such as ``sensor may not read FILTER``."""

    text: str
    filter: str
    direction: Direction
    allowed: bool
    user: str | None = None
    """The user that the statement is about; None for all users."""
    but: tuple[str, ...] = ()
    """Users that are excepted from a statement about all users."""

    @classmethod
    def parse(cls, text: str) -> Expectation:
        """
        Parse a statement.

        Raises:
            ValueError: *text* is not a statement, or has two negations.

        """
        match = _SENTENCE.fullmatch(text)
        if match is None or (match["nobody"] and match["not"]):
            raise ValueError(GRAMMAR)
        return cls(
            text=text,
            filter=match["filter"],
            direction="read" if match["direction"] == "read" else "write",
            allowed=not (match["nobody"] or match["not"]),
            user=match["user"],
            but=tuple(re.split(r", ?", match["but"])) if match["but"] else (),
        )

    def about(self, principals: Mapping[str, Principal]) -> Iterator[Principal]:
        """Yield the principals that the statement is about."""
        if self.user is not None:
            yield principals[self.user]
        else:
            yield from (principal for name, principal in principals.items() if name not in self.but)


@dataclass(frozen=True, kw_only=True)
class Violation:
    """An expectation that is false, with a user and a topic for which it is false."""

    expectation: Expectation
    user: str
    topic: str

    def __str__(self) -> str:
        may = "may not" if self.expectation.allowed else "may"
        return f"expectation violated: {self.user} {may} {self.expectation.direction} {self.topic}"


def violations(expectation: Expectation, principals: Mapping[str, Principal]) -> list[Violation]:
    """Return a violation for each user for whom the statement is false; one per fleet."""
    return [
        Violation(expectation=expectation, user=principal.name, topic=topic)
        for principal in _without_equivalents(expectation, expectation.about(principals))
        if (
            topic := find_example_topic(
                principal,
                expectation.direction,
                expectation.filter,
                allowed=not expectation.allowed,
            )
        )
    ]


def _without_equivalents(
    expectation: Expectation, principals: Iterable[Principal]
) -> Iterator[Principal]:
    """
    Yield the principals without those whose result must equal that of an earlier one.

    Members of fleets have only patterns, and all have the same. Their results can differ only if
    a rule or the statement contains a member's name. To check ten thousand one by one would take
    seconds.
    """
    literal_levels: dict[tuple[Rule, ...], set[str]] = {}
    for principal in principals:
        if not principal.topics:
            rules = principal.patterns
            if rules in literal_levels and principal.name not in literal_levels[rules]:
                continue
            filters = (expectation.filter, *(rule.filter for rule in rules))
            literal_levels[rules] = {level for filter_ in filters for level in filter_.split("/")}
        yield principal
