"""Summarize the output of `pulumi preview --json` without values: names and counts only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ORDER = ("create", "update", "replace", "delete", "same")
# The engine reports a replacement as several steps; only the step "replace" is counted.
_INTERMEDIATE_STEPS = {
    "create-replacement",
    "delete-replaced",
    "discard-replaced",
    "read",
    "refresh",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A resource that changes."""

    operation: str
    kind: str
    """The last part of its type token, such as ``Command``."""
    name: str
    because: tuple[str, ...]
    """Names of the inputs that differ, never their values."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The part of a preview that a comment may show."""

    counts: Mapping[str, int]
    steps: tuple[Step, ...]


def read_plan(preview: Mapping[str, Any]) -> Plan:
    """
    Read the JSON of `pulumi preview --json`.

    Values, diagnostics and outputs are left out: Pulumi does not mark every secret in them.
    """
    steps = [
        Step(
            operation=str(step["op"]),
            kind=_urn_field(step, 2).rpartition(":")[2],
            name=_urn_field(step, 3),
            because=_because(step),
        )
        for step in preview.get("steps", [])
        if step.get("op") not in (None, *_INTERMEDIATE_STEPS)
    ]
    counts = Counter(step.operation for step in steps)
    return Plan(
        counts={operation: counts[operation] for operation in _ORDER if counts[operation]},
        steps=tuple(step for step in steps if step.operation != "same"),
    )


def render_plan(plan: Plan) -> str:
    """Return the summary as Markdown."""
    if not plan.steps:
        return "The preview changes nothing.\n"
    counted = ", ".join(
        f"{number} to {operation}"
        for operation, number in plan.counts.items()
        if operation != "same"
    )
    lines = [f"{counted}; {plan.counts.get('same', 0)} stay.", "", "| | resource | because of |"]
    lines.append("| --- | --- | --- |")
    for step in plan.steps:
        because = ", ".join(f"`{name}`" for name in step.because)
        lines.append(f"| {step.operation} | {step.kind} `{step.name}` | {because} |")
    return "\n".join(lines) + "\n"


def _urn_field(step: Mapping[str, Any], index: int) -> str:
    """Return a field of ``urn:pulumi:stack::project::parent$type::name``."""
    fields = str(step.get("urn", "")).split("::")
    return fields[index].rpartition("$")[2] if index < len(fields) else "?"


def _because(step: Mapping[str, Any]) -> tuple[str, ...]:
    differing = list(step.get("detailedDiff") or step.get("diffReasons") or [])
    return tuple(
        dict.fromkeys(re.sub(r"\[\d+\].*", "", str(property_path)) for property_path in differing)
    )
