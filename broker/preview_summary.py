"""What `pulumi preview --json` plans, told without a single value: names and counts only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ORDER = ("create", "update", "replace", "delete", "same")
# Steps that the engine takes on the way to a replacement; the one called "replace" stands for them.
_PARTS = {"create-replacement", "delete-replaced", "discard-replaced", "read", "refresh"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A resource that changes."""

    operation: str
    kind: str
    """The last part of its type token, such as ``Command``."""
    name: str
    because: tuple[str, ...]
    """Names of the inputs that differ, never what they hold."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A preview, in what a comment may show of it."""

    counts: Mapping[str, int]
    steps: tuple[Step, ...]


def read_plan(preview: Mapping[str, Any]) -> Plan:
    """
    Read the JSON of `pulumi preview --json`.

    Only what is named here is taken over. Values, diagnostics and outputs stay behind: not all
    of them are marked that would have to be.
    """
    steps = [
        Step(
            operation=str(step["op"]),
            kind=_part(step, 2).rpartition(":")[2],
            name=_part(step, 3),
            because=_because(step),
        )
        for step in preview.get("steps", [])
        if step.get("op") not in (None, *_PARTS)
    ]
    counts = Counter(each.operation for each in steps)
    return Plan(
        counts={each: counts[each] for each in _ORDER if counts[each]},
        steps=tuple(each for each in steps if each.operation != "same"),
    )


def render_plan(plan: Plan) -> str:
    """Return Markdown."""
    if not plan.steps:
        return "The preview changes nothing.\n"
    counted = ", ".join(
        f"{number} to {each}" for each, number in plan.counts.items() if each != "same"
    )
    lines = [f"{counted}; {plan.counts.get('same', 0)} stay.", "", "| | resource | because of |"]
    lines.append("| --- | --- | --- |")
    for each in plan.steps:
        because = ", ".join(f"`{name}`" for name in each.because)
        lines.append(f"| {each.operation} | {each.kind} `{each.name}` | {because} |")
    return "\n".join(lines) + "\n"


def _part(step: Mapping[str, Any], index: int) -> str:
    """Return a part of ``urn:pulumi:stack::project::parent$type::name``."""
    parts = str(step.get("urn", "")).split("::")
    return parts[index].rpartition("$")[2] if index < len(parts) else "?"


def _because(step: Mapping[str, Any]) -> tuple[str, ...]:
    differing = list(step.get("detailedDiff") or step.get("diffReasons") or [])
    return tuple(dict.fromkeys(re.sub(r"\[\d+\].*", "", str(each)) for each in differing))
