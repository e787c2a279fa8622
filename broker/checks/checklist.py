"""The checklist and the security practices of the page by hand, judged from what was seen."""

from __future__ import annotations

from collections.abc import Iterator

from broker.checks.check_result import CheckResult
from broker.checks.deployment_checklist import deployment, is_declared_conf, rewrite
from broker.checks.observations import Observations
from broker.checks.security_practices import practices
from broker.mosquitto.reload_or_replace import reserves, start_digest
from broker.settings.stack_settings import Settings


def checklist(settings: Settings, stack: str, sight: Observations) -> list[CheckResult]:
    """Return every point, in the order of the page."""
    return [
        *deployment(settings, stack, sight),
        *practices(settings, stack, sight),
        *_drift(settings, stack, sight),
    ]


def _drift(settings: Settings, stack: str, sight: Observations) -> Iterator[CheckResult]:
    broker = settings.broker
    same = is_declared_conf(settings, sight)
    label = sight.host.start_digest(broker.container)
    reserved = reserves(broker, sight.host, sight.image)
    current = start_digest(broker, sight.image, reserved=reserved) == label if label else None
    said = [
        *(["mosquitto.conf is another one than declared"] if same is False else []),
        *(["the container was made from other settings"] if current is False else []),
    ]
    known = same is not None and current is not None
    up = f"./brokerctl up --stack {stack}: every client is disconnected once"
    yield CheckResult(
        name="drift",
        asks="what runs is what the stack file says",
        verdict="fail" if said else "pass" if known else "unknown",
        seen="; ".join(said) or ("nothing differs" if known else "not asked"),
        mend=rewrite(settings, stack) if same is False else up,
    )
