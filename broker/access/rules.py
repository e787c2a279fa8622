"""The rules of one user, in the order in which Mosquitto asks them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Access = Literal["read", "write", "readwrite", "deny"]
Direction = Literal["read", "write"]
Kind = Literal["topic", "pattern"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A line of the ACL file (mosquitto.conf(5), ``acl_file``), and who says it."""

    kind: Kind
    access: Access
    filter: str
    origin: str = field(default="", compare=False)
    """Path in the stack file."""

    def speaks_of(self, direction: Direction) -> bool:
        return self.access in (direction, "readwrite", "deny")

    def written_for(self, user: str) -> str:
        """
        Return the filter as it stands for *user*.

        A client id is whatever a client says it is, so ``%c`` stands for any level.
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
    """Someone who logs in, with all rules that can decide about them."""

    name: str
    topics: tuple[Rule, ...] = ()
    """``topic`` rules of the user's own block, in file order."""
    patterns: tuple[Rule, ...] = ()
    """``pattern`` rules: everybody's, in file order."""

    def asked(self) -> Iterable[tuple[Rule, ...]]:
        """
        Yield the rules in two rounds, each with its denials first.

        Mosquitto puts ``deny`` lines at the head of their list, and asks the patterns only where
        no topic rule decided: so a pattern's denial doesn't reach what a topic rule allows.
        """
        for rules in (self.topics, self.patterns):
            yield (
                *(each for each in rules if each.access == "deny"),
                *(each for each in rules if each.access != "deny"),
            )
