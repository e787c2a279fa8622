"""What stops a change of access, and what a reviewer is told: expectations and guardrails."""

from __future__ import annotations

from dataclasses import dataclass

from broker.expectations import Expectation, breaches
from broker.guardrails import guard
from broker.principals import principals
from broker.settings import PROJECT, Settings


@dataclass(frozen=True, kw_only=True)
class Review:
    """Lines as they are shown, each naming its place in the stack file."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def review(settings: Settings, stack: str) -> Review:
    """Hold the rules against what the stack file expects of them, and against the guardrails."""
    everybody = principals(settings)
    broken = [
        f"{PROJECT}:expect[{index}]: {sentence!r}: {breach}"
        for index, sentence in enumerate(settings.expect)
        for breach in breaches(Expectation.parse(sentence), everybody)
    ]
    found = guard(settings, stack)
    return Review(
        errors=(*broken, *(str(each) for each in found if each.level == "error")),
        warnings=tuple(str(each) for each in found if each.level == "warning"),
    )
