"""Findings about access: expectations, guardrails, and the exporter's access to statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker.access.effective_rules import effective_rules
from broker.access.evaluate import evaluate
from broker.access.expectations import Expectation, violations
from broker.access.guardrails import guardrail_findings
from broker.access.rules import Principal
from broker.findings import Finding, error
from broker.monitoring.status import SAMPLE_TOPIC, SYSTEM
from broker.settings.stack_settings import PROJECT, Settings


def review_access(settings: Settings, stack: str) -> list[Finding]:
    """Return the findings of the expectations and the guardrails, and of the exporter's user."""
    principals = effective_rules(settings)
    violated = [
        error(f"{PROJECT}:expect[{index}]", f"{sentence!r}: {violation}")
        for index, sentence in enumerate(settings.expect)
        for violation in violations(Expectation.parse(sentence), principals)
    ]
    return [
        *violated,
        *_exporter_without_access(settings, principals),
        *guardrail_findings(settings, stack),
    ]


def _exporter_without_access(
    settings: Settings, principals: Mapping[str, Principal]
) -> Iterator[Finding]:
    monitoring = settings.broker.monitoring
    if monitoring is None or evaluate(principals[monitoring.user], "receive", SAMPLE_TOPIC).allowed:
        return
    yield error(
        f"{PROJECT}:broker.monitoring.user",
        f"{monitoring.user!r}: may not read {SAMPLE_TOPIC}, so the exporter would have no data",
        f'Give this user read: ["{SYSTEM}#"], or set another user.',
    )
