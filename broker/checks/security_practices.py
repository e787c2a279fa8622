"""The security practices of the manual setup guide, evaluated from settings and observations."""

from __future__ import annotations

from collections.abc import Iterator

from broker.access.guardrails import guardrail_findings
from broker.checks.backup_archives import backups
from broker.checks.check_result import CheckResult
from broker.checks.deployment_checklist import open_to_all
from broker.checks.observations import Observations
from broker.credentials.password_ages import old_passwords, rotation_fixes
from broker.findings import of_severity, one_line
from broker.logs.authentication_failures import total, worst_address
from broker.logs.log_parser import LogSummary
from broker.settings.stack_settings import Settings


def security_checks(
    settings: Settings, stack: str, observations: Observations
) -> Iterator[CheckResult]:
    """Yield the results in the order of the manual setup guide."""
    yield _strong_passwords(settings, stack)
    yield _least_rights(settings, stack)
    yield _internal_network(settings)
    yield _rotation(settings, stack, observations)
    yield _watched_log(settings)
    yield _refused_logins(settings, stack, observations)
    yield _denied_messages(settings, stack, observations)
    yield backups(settings, stack, observations)


def _strong_passwords(settings: Settings, stack: str) -> CheckResult:
    adopted = [name for name, user in settings.users.items() if not user.password_known]
    return CheckResult(
        name="strong passwords",
        description="passwords have at least 16 characters",
        status="unknown" if adopted else "pass",
        observed=f"generated: {settings.broker.passwords.length}, supplied: at least 16"
        + (f"; adopted, so only their clients know them: {', '.join(adopted)}" if adopted else ""),
        fix=f"./brokerctl rotate {' '.join(adopted)} --stack {stack}",
    )


def _least_rights(settings: Settings, stack: str) -> CheckResult:
    findings = guardrail_findings(settings, stack)
    return CheckResult(
        name="least rights",
        description="no user has more rights than needed",
        status="fail" if of_severity("error", findings) else "unknown" if findings else "pass",
        observed="; ".join(one_line(findings)) or "no guardrail reports a finding",
        fix="change the users in the stack file, or allow it under guardrails with a reason",
    )


def _internal_network(settings: Settings) -> CheckResult:
    broker = settings.broker
    public = [f"{name}: anybody" for name in open_to_all(broker)]
    public += [
        f"{name}: {network}"
        for name, port in broker.exposed_ports.items()
        for network in port.allow_from
        if not network.is_private
    ]
    return CheckResult(
        name="internal network",
        description="no public network may connect",
        status="fail" if public else "pass",
        observed="; ".join(public) or "every declared network is private",
        fix="allowFrom in the stack file",
    )


def _rotation(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    ages, max_age = observations.ages, settings.broker.passwords.max_age_days
    old = list(old_passwords(ages, max_age, rotation_fixes(settings))) if max_age else []
    oldest = max(ages.items(), key=lambda item: item[1], default=None)
    age = f"the oldest, {oldest[0]}'s, is {oldest[1]} days old" if oldest else "no age is known"
    limit = f"{max_age} days are allowed" if max_age else "no passwords.maxAgeDays is declared"
    return CheckResult(
        name="rotation",
        description="passwords are rotated",
        status="fail" if old else "pass" if max_age else "unknown",
        observed="; ".join(one_line(old)) or f"{age}; {limit}",
        fix=f"./brokerctl rotate USER --stack {stack}"
        if old
        else "broker.passwords.maxAgeDays: 90",
    )


def _watched_log(settings: Settings) -> CheckResult:
    log_types = settings.broker.logging.types
    return CheckResult(
        name="watched log",
        description="refused logins are logged (2.0 logs those of WebSockets without an address)",
        status="pass" if "notice" in log_types else "fail",
        observed=f"logging.types: {', '.join(log_types)}",
        fix="add 'notice' to broker.logging.types",
    )


def _refused_logins(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    limit = settings.broker.logging.refused_per_hour
    logged = observations.log is not None and "notice" in settings.broker.logging.types
    times, observed = 0, "the log was not read"
    if observations.log is not None:
        times = total(observations.log.refused)
        address, times_from_it = worst_address(observations.log)
        observed = f"{times} in the last hour" + (
            f", {times_from_it} from {address}" if times_from_it else ""
        )
        observed += unread(observations.log)
        logged = logged and not observations.log.incomplete
    return CheckResult(
        name="refused logins",
        description=f"at most {limit} logins per hour are refused",
        status="fail" if times > limit else "pass" if logged else "unknown",
        observed=observed,
        fix=f"./brokerctl refused --stack {stack} shows the clients. Give a client with an old "
        "password the current one (./brokerctl credentials USER); block other clients with "
        "allowFrom; broker.logging.refusedPerHour is the limit",
    )


def unread(log: LogSummary) -> str:
    """Return what was not read of the last hour; many connections can push the rest out."""
    if not log.incomplete or log.unread_until is None:
        return ""
    return (
        f"; the log is too large: only its lines since {log.unread_until:%H:%M:%S} UTC were read. "
        "All of it: ./brokerctl refused"
    )


def _denied_messages(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    limit = settings.broker.logging.denied_per_hour
    logged = "debug" in settings.broker.logging.types
    times = total(observations.log.denied) if observations.log is not None else 0
    observed = (
        f"{times} in the last hour{unread(observations.log)}"
        if observations.log is not None
        else "the log was not read"
    )
    complete = observations.log is not None and not observations.log.incomplete
    return CheckResult(
        name="denied messages",
        description=f"at most {limit} messages per hour are denied by the rules",
        status="fail" if logged and times > limit else "pass" if logged and complete else "unknown",
        observed=observed if logged else "not logged",
        fix=f"./brokerctl refused --stack {stack} shows the clients, and ./brokerctl explain "
        "shows which rule decides; broker.logging.deniedPerHour is the limit"
        if logged
        else "add 'debug' to broker.logging.types; it also logs a line for every packet",
    )
