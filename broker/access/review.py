"""What stops a change of access, and what a reviewer is told: expectations and guardrails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.expectations import Expectation, breaches
from broker.access.guardrails import guard
from broker.access.rules import Principal
from broker.monitoring.status import READ_OF_ALL, SYSTEM
from broker.settings.stack_settings import PROJECT, Settings


@dataclass(frozen=True, kw_only=True)
class Review:
    """Lines as they are shown, each naming its place in the stack file."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def review(settings: Settings, stack: str) -> Review:
    """Hold the rules against what the stack file expects of them, and against the guardrails."""
    everybody = effective_rules(settings)
    broken = [
        f"{PROJECT}:expect[{index}]: {sentence!r}: {breach}"
        for index, sentence in enumerate(settings.expect)
        for breach in breaches(Expectation.parse(sentence), everybody)
    ]
    found = guard(settings, stack)
    return Review(
        errors=(
            *broken,
            *_blind(settings, everybody),
            *(str(each) for each in found if each.level == "error"),
        ),
        warnings=tuple(str(each) for each in found if each.level == "warning"),
    )


def _blind(settings: Settings, everybody: Mapping[str, Principal]) -> Iterator[str]:
    monitoring = settings.broker.monitoring
    if monitoring is None or evaluate(everybody[monitoring.user], "receive", READ_OF_ALL).allowed:
        return
    yield (
        f"{PROJECT}:broker.monitoring.user: {monitoring.user!r}: may not read {READ_OF_ALL}, so "
        f'the exporter would see nothing. Give that user read: ["{SYSTEM}#"], or name another'
    )
