"""All checks: the deployment checklist and the security practices of the manual setup guide."""

from __future__ import annotations

from collections.abc import Iterator

from broker.checks.check_result import CheckResult
from broker.checks.deployment_checklist import deployment_checks, is_declared_conf
from broker.checks.observations import Observations
from broker.checks.security_practices import security_checks
from broker.host.drift import drift_lines
from broker.mosquitto.reload_or_replace import reserves, start_digest
from broker.settings.stack_settings import Settings


def checklist(settings: Settings, stack: str, observations: Observations) -> list[CheckResult]:
    """Return the result of every check, in the order of the manual setup guide."""
    return [
        *deployment_checks(settings, stack, observations),
        *security_checks(settings, stack, observations),
        *_drift(settings, stack, observations),
    ]


def _drift(settings: Settings, stack: str, observations: Observations) -> Iterator[CheckResult]:
    broker = settings.broker
    conf_matches = is_declared_conf(settings, observations)
    label = observations.host.start_digest(broker.container)
    reserved = reserves(broker, observations.host, observations.image)
    digest = start_digest(broker, observations.image, reserved=reserved)
    container_matches = digest == label if label else None
    differences = [
        *(["mosquitto.conf is not the declared one"] if conf_matches is False else []),
        *(["the container was created from other settings"] if container_matches is False else []),
        *drift_lines(observations.host, broker.container),
    ]
    known = conf_matches is not None and container_matches is not None
    yield CheckResult(
        name="drift",
        description="the running broker matches the stack file, and the host the last up",
        status="fail" if differences else "pass" if known else "unknown",
        observed="; ".join(differences) or ("nothing differs" if known else "not asked"),
        fix=f"./brokerctl preview --stack {stack} shows whom a repair disconnects; then "
        f"./brokerctl up --stack {stack}",
    )
