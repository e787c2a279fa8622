"""The rules of one user, in the order in which Mosquitto evaluates them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Access = Literal["read", "write", "readwrite", "deny"]
Direction = Literal["read", "write"]
Kind = Literal["topic", "pattern"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A line of the ACL file (mosquitto.conf(5), ``acl_file``), and where it is declared."""

    kind: Kind
    access: Access
    filter: str
    origin: str = field(default="", compare=False)
    """Path in the stack file."""

    def covers(self, direction: Direction) -> bool:
        return self.access in (direction, "readwrite", "deny")

    def filter_for(self, user: str) -> str:
        """
        Return the filter with the variables of a pattern replaced for *user*.

        A client chooses its client id, so ``%c`` becomes ``+``.
        """
        if self.kind == "topic":
            return self.filter
        levels = self.filter.split("/")
        return "/".join({"%u": user, "%c": "+"}.get(level, level) for level in levels)

    @property
    def line(self) -> str:
        return f"{self.kind} {self.access} {self.filter}"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A name that can log in, with all rules that apply to it."""

    name: str
    topics: tuple[Rule, ...] = ()
    """``topic`` rules of the user's own block, in the order of the file."""
    patterns: tuple[Rule, ...] = ()
    """``pattern`` rules, which apply to every user, in the order of the file."""

    def all_rules(self) -> tuple[Rule, ...]:
        """Return the topic rules and the patterns, in the order of the file."""
        return (*self.topics, *self.patterns)

    def in_order_of_evaluation(self) -> Iterator[Rule]:
        """
        Yield the rules in the order in which Mosquitto evaluates them; the first match decides.

        Mosquitto puts ``deny`` lines at the head of their list, and evaluates the patterns only
        if no topic rule matches: a denying pattern does not restrict what a topic rule grants.
        """
        for rules in (self.topics, self.patterns):
            yield from (rule for rule in rules if rule.access == "deny")
            yield from (rule for rule in rules if rule.access != "deny")
