"""The page's security practices, each judged from the stack file and from what was seen."""

from __future__ import annotations

from collections.abc import Iterator

from broker.access.guardrails import guardrail_findings
from broker.checks.backup_archives import backups
from broker.checks.check_result import CheckResult, judged
from broker.checks.deployment_checklist import open_to_all
from broker.checks.observations import Observations
from broker.credentials.password_ages import old_passwords, rotation_fixes
from broker.findings import of_severity, one_line
from broker.logs.authentication_failures import total, worst_address
from broker.settings.stack_settings import Settings


def practices(settings: Settings, stack: str, sight: Observations) -> Iterator[CheckResult]:
    """Yield them in the order of the page."""
    broker = settings.broker
    adopted = [name for name, user in settings.users.items() if not user.password_known]
    yield CheckResult(
        name="strong passwords",
        asks="passwords have 16 characters at least",
        verdict="unknown" if adopted else "pass",
        seen=f"generated ones have {broker.passwords.length}, supplied ones 16 at least"
        + (f"; adopted, and known to their clients alone: {', '.join(adopted)}" if adopted else ""),
        mend=f"./brokerctl rotate {' '.join(adopted)} --stack {stack}",
    )
    found = guardrail_findings(settings, stack)
    yield CheckResult(
        name="least rights",
        asks="nobody may do more than is needed",
        verdict="fail" if of_severity("error", found) else "unknown" if found else "pass",
        seen="; ".join(one_line(found)) or "no guardrail speaks",
        mend="the stack file's users, or guardrails with a reason",
    )
    public = [f"{each}: anybody" for each in open_to_all(broker)]
    public += [
        f"{name}: {each}"
        for name, gate in broker.exposed_ports.items()
        for each in gate.allow_from
        if not each.is_private
    ]
    yield CheckResult(
        name="internal network",
        asks="no network of the internet is let in",
        verdict="fail" if public else "pass",
        seen="; ".join(public) or "every declared network is a private one",
        mend="allowFrom in the stack file",
    )
    most = broker.passwords.max_age_days
    old = list(old_passwords(sight.ages, most, rotation_fixes(settings))) if most else []
    oldest = max(sight.ages.items(), key=lambda each: each[1], default=None)
    aged = f"the oldest, {oldest[0]}'s, is {oldest[1]} days old" if oldest else "no age is known"
    yield CheckResult(
        name="rotation",
        asks="passwords are changed from time to time",
        verdict="fail" if old else "pass" if most else "unknown",
        seen="; ".join(one_line(old))
        or f"{aged}; "
        + (f"{most} days are allowed" if most else "no passwords.maxAgeDays is declared"),
        mend=f"./brokerctl rotate USER --stack {stack}"
        if old
        else "broker.passwords.maxAgeDays: 90",
    )
    kinds = broker.logging.types
    yield CheckResult(
        name="watched log",
        asks="refused logins are in the log (2.0 writes none of its WebSockets')",
        verdict="pass" if "notice" in kinds else "fail",
        seen=f"logging.types: {', '.join(kinds)}",
        mend="broker.logging.types: with 'notice'",
    )
    yield _refused_logins(settings, stack, sight)
    yield _denied_messages(settings, stack, sight)
    yield backups(settings, stack, sight)


def _refused_logins(settings: Settings, stack: str, sight: Observations) -> CheckResult:
    most = settings.broker.logging.refused_per_hour
    logged = sight.log is not None and "notice" in settings.broker.logging.types
    times, seen = 0, "the log was not read"
    if sight.log is not None:
        times = total(sight.log.refused)
        address, by_it = worst_address(sight.log)
        seen = f"{times} in the last hour" + (f", {by_it} from {address}" if by_it else "")
    return CheckResult(
        name="refused logins",
        asks=f"no more than {most} logins an hour are refused",
        verdict="fail" if times > most else "pass" if logged else "unknown",
        seen=seen,
        mend=f"./brokerctl refused --stack {stack} says who: a client with an old password, which "
        "reads its own with ./brokerctl credentials USER, or a stranger, whom allowFrom keeps out; "
        "broker.logging.refusedPerHour is the limit",
    )


def _denied_messages(settings: Settings, stack: str, sight: Observations) -> CheckResult:
    most = settings.broker.logging.denied_per_hour
    logged = "debug" in settings.broker.logging.types
    times = total(sight.log.denied) if sight.log is not None else 0
    seen = f"{times} in the last hour" if sight.log is not None else "the log was not read"
    return CheckResult(
        name="denied messages",
        asks=f"no more than {most} messages an hour are denied by the rules",
        verdict=judged("asked" if logged and sight.log else "", times <= most),
        seen=seen if logged else "not logged",
        mend=f"./brokerctl refused --stack {stack} says whose, and ./brokerctl explain which rule "
        "decides; "
        "broker.logging.deniedPerHour is the limit"
        if logged
        else "broker.logging.types: with 'debug', which writes a line for each packet, too",
    )
