"""Check who may do what: expectations, guardrails, and whether the exporter can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.expectations import Expectation, breaches
from broker.access.guardrails import guardrail_findings
from broker.access.rules import Principal
from broker.findings import Finding, error
from broker.monitoring.status import SAMPLE_TOPIC, SYSTEM
from broker.settings.stack_settings import PROJECT, Settings


def review_access(settings: Settings, stack: str) -> list[Finding]:
    """Hold the rules against what the stack file expects of them, and against the guardrails."""
    everybody = effective_rules(settings)
    violated = [
        error(f"{PROJECT}:expect[{index}]", f"{sentence!r}: {breach}")
        for index, sentence in enumerate(settings.expect)
        for breach in breaches(Expectation.parse(sentence), everybody)
    ]
    return [
        *violated,
        *_unreadable_status(settings, everybody),
        *guardrail_findings(settings, stack),
    ]


def _unreadable_status(settings: Settings, everybody: Mapping[str, Principal]) -> Iterator[Finding]:
    monitoring = settings.broker.monitoring
    if monitoring is None or evaluate(everybody[monitoring.user], "receive", SAMPLE_TOPIC).allowed:
        return
    yield error(
        f"{PROJECT}:broker.monitoring.user",
        f"{monitoring.user!r}: may not read {SAMPLE_TOPIC}, so the exporter would see nothing",
        f'Give that user read: ["{SYSTEM}#"], or name another.',
    )
