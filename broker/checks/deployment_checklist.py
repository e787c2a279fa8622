"""The deployment checklist of the manual setup guide, evaluated from observations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from broker.checks.check_result import CheckResult, CheckStatus, check_status
from broker.checks.observations import LET_IN, REFUSED, Observations, is_text, owner
from broker.checks.storage import log, no_file, persistence, room, wrong_folder_owner
from broker.credentials.logins import logins, stamps
from broker.firewall.backend import is_declared
from broker.firewall.drift import report
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from broker.settings.stack_settings import Settings


def deployment_checks(
    settings: Settings, stack: str, observations: Observations
) -> Iterator[CheckResult]:
    """Yield the results in the order of the manual setup guide."""
    up, restart = f"./brokerctl up --stack {stack}", f"./brokerctl restart --stack {stack}"
    rewrite_fix = f"{up}: it installs the declared files again"
    yield _container(settings, stack, observations)
    yield _ports(settings, observations, f"./brokerctl firewall --stack {stack}")
    yield _anonymous(observations, rewrite_fix)
    yield _hashes(settings, observations, rewrite_fix)
    yield _rules(settings, observations, rewrite_fix)
    yield _services(settings, observations, rewrite_fix)
    if settings.broker.env_files:
        yield _env_files(settings, stack, observations)
    yield from _networks(settings, stack, observations, up)
    if settings.broker.tls_listeners:
        yield _certificates(settings, observations, up)
    yield log(settings, observations, restart)
    yield persistence(settings, observations, restart)
    yield room(settings, observations)
    yield _health(settings, observations, restart)


def _container(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    name = settings.broker.container
    state, restarts = observations.host.container_state(name), observations.host.restarts(name)
    fix = f"./brokerctl restart --stack {stack}; why it stopped: ./brokerctl logs --stack {stack}"
    if state == "absent" or is_declared_conf(settings, observations) is False:
        fix = f"./brokerctl up --stack {stack}; then, if it still does not run: {fix}"
    return CheckResult(
        name="container",
        description="the broker's container is running",
        status=check_status(state, state == "running"),
        observed=f"{name}: {state or 'not asked'}, restarted {restarts or '?'} times by Docker",
        fix=fix,
    )


def _ports(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    lines: list[str] = []
    status: CheckStatus = "pass"
    for name, listener in settings.broker.listeners.items():
        answer = observations.answers.get(name, "")
        lines.append(f"{name} ({listener.port}): {answer or 'not asked'}")
        if user := observations.host.port_user(listener.port):
            lines[-1] += f"; the port is in use by {user}"
        if answer == LET_IN:
            continue
        if not answer or not _may_connect(listener, observations.here):
            lines[-1] += f"; {observations.here or 'this machine'} is not in its allowFrom"
            status = "unknown" if status == "pass" else status
        else:
            status = "fail"
    return CheckResult(
        name="ports",
        description="every port answers a client that may reach it",
        status=status,
        observed="; ".join(lines),
        fix=f"compare address and port with those that clients use (MQTT_URL); {fix}",
    )


def _may_connect(listener: Listener, here: str) -> bool:
    """Return whether the listener accepts clients from the address *here*."""
    if not here:
        return False
    address = ip_address(here)
    if listener.bound.is_loopback or address.is_loopback:
        return address.is_loopback
    return not listener.allow_from or any(address in network for network in listener.allow_from)


def _anonymous(observations: Observations, fix: str) -> CheckResult:
    guessed = {f"{name}, a wrong password": answer for name, answer in observations.guessed.items()}
    asked = {
        name: answer for name, answer in {**observations.anonymous, **guessed}.items() if answer
    }
    accepted_at = [name for name, answer in asked.items() if answer == LET_IN]
    refused = [name for name, answer in asked.items() if answer.startswith(REFUSED)]
    return CheckResult(
        name="anonymous",
        description="no client gets in without a login or with a wrong password",
        # A listener that did not answer may let anybody in.
        status="fail"
        if accepted_at
        else "pass"
        if refused and len(refused) == len(asked)
        else "unknown",
        observed="; ".join(f"{name}: {answer}" for name, answer in asked.items()) or "not asked",
        fix=f"mosquitto.conf was edited: {fix}",
    )


def _hashes(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    description = "the password file exists and contains only hashes"
    path = f"{settings.broker.folders.config}/{settings.broker.files.passwords}"
    lines, file = observations.host.password_lines, observations.host.file(path)
    if lines is None or file is None:
        return no_file("password hashes", description, path, observations, fix)
    hashed, other = lines.hashed, lines.other
    # One more for the canary, which the stack file does not declare.
    declared = len(stamps(settings)) + 1
    private = file.mode == "600" and file.owner == owner(settings.broker)
    wrong_owner, folder = wrong_folder_owner(settings, observations, settings.broker.folders.config)
    return CheckResult(
        name="password hashes",
        description=description,
        status="pass" if private and hashed == declared and not (other or wrong_owner) else "fail",
        observed=f"{hashed} logins with a hash, {declared} are declared; {other} other "
        f"lines; mode {file.mode}, owner {file.owner}{folder}",
        fix=f"{fix} (mode 600, owner {owner(settings.broker)})",
    )


def _rules(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    path = f"{settings.broker.folders.config}/{settings.broker.files.acl}"
    same = is_text(observations.host, path, render_acl(settings))
    without_rules = [name for name, user in settings.users.items() if not _has_rules(user)]
    observed = (
        "the ACL file matches the stack file" if same else "the ACL file is not the declared one"
    )
    if same is None:
        observed = f"{path}: not asked"
    return CheckResult(
        name="access rules",
        description="every user has rules, and they are in the ACL file",
        status="fail" if same is False or without_rules else "unknown" if same is None else "pass",
        observed=observed
        + (f"; without any rule: {', '.join(without_rules)}" if without_rules else ""),
        fix=f"{fix}; then ./brokerctl explain USER TOPIC shows which rule decides",
    )


def _has_rules(user: Any) -> bool:
    return bool(user.readwrite or user.read or user.write or user.roles)


def _services(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    failed = {name: answer for name, answer in observations.logins.items() if answer != LET_IN}
    refused = [name for name, answer in failed.items() if answer.startswith(REFUSED)]
    unasked = [name for name in settings.users if name not in observations.logins]
    status: CheckStatus = (
        "fail" if refused else "unknown" if failed or not observations.logins else "pass"
    )
    lines = [f"{name}: {answer}" for name, answer in sorted(failed.items())]
    if unasked:
        lines.append(f"passwords that only their clients know: {', '.join(unasked)}")
    return CheckResult(
        name="logins",
        description="every user can log in with the password that the stack has for it",
        status=status,
        observed="; ".join(
            [
                f"{len(observations.logins) - len(failed)} of {len(observations.logins)} let in",
                *lines,
            ]
        ),
        fix=f"{fix}; ./brokerctl credentials USER shows a client's password",
    )


def _env_files(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    good: list[str] = []
    wrong: list[str] = []
    asked = True
    for env_file in settings.broker.env_files:
        file, digest = (
            observations.host.file(env_file.path),
            observations.host.file_digest(env_file.path),
        )
        declared = f"600 {env_file.owner.uid}:{env_file.owner.gid}"
        if observations.host.file_absent(env_file.path):
            wrong.append(f"{env_file.path}: absent")
        elif file is None or env_file.path not in observations.env:
            asked = False
            good.append(f"{env_file.path}: not asked")
        elif digest != observations.env[env_file.path]:
            wrong.append(f"{env_file.path}: MQTT_URL or another line is not the declared one")
        elif f"{file.mode} {file.owner}" != declared:
            wrong.append(
                f"{env_file.path}: mode {file.mode}, owner {file.owner}; declared is {declared}"
            )
        else:
            good.append(f"{env_file.path}: unchanged")
    users = list(dict.fromkeys(env_file.user for env_file in settings.broker.env_files))
    commands = "; ".join(f"./brokerctl credentials {user} --stack {stack}" for user in users)
    return CheckResult(
        name="env files",
        description="env files contain the address of the broker and the login",
        status="fail" if wrong else "pass" if asked else "unknown",
        observed="; ".join([*wrong, *good]),
        fix=f"./brokerctl up --stack {stack} writes the file again; the declared values: "
        f"{commands}",
    )


def _certificates(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    lines: list[str] = []
    status: CheckStatus = "pass"
    for name, listener in settings.broker.tls_listeners.items():
        certificate = observations.host.certificate(name)
        checked = (certificate, observations.host.client_ca(name))
        wrong = [found.text for found in checked if found.state in ("due", "wrong")]
        left = _seconds_left(observations.ends.get(name, ""), observations.host.now)
        soon = observations.host.certificate_ends(name)
        lines.append(f"{name}: expires {observations.ends.get(name) or 'at an unknown time'}")
        if wrong or soon or (left is not None and left < 0):
            status = "fail"
            lines[-1] += "".join(f"; {problem}" for problem in wrong)
        elif left is None or (
            certificate.state == "unknown" and not (listener.tls and listener.tls.external)
        ):
            status = "unknown" if status == "pass" else status
    return CheckResult(
        name="certificates",
        description="no certificate has expired or expires soon",
        status=status,
        observed="; ".join(lines),
        fix=f"if the certificate is given or supplied, replace it with the renewed one; then {fix}",
    )


def _seconds_left(end: str, now: int | None) -> float | None:
    try:
        return None if now is None else datetime.fromisoformat(end).timestamp() - now
    except ValueError:
        return None


def open_to_all(broker: Broker) -> list[str]:
    """Return the names of the ports that anybody can reach."""
    return [
        name
        for name, listener in broker.exposed_ports.items()
        if not listener.bound.is_loopback and (listener.open_to_everyone or not is_declared(broker))
    ]


def _networks(
    settings: Settings, stack: str, observations: Observations, fix: str
) -> Iterator[CheckResult]:
    broker = settings.broker
    lines, problem = report(broker, observations.host)
    state = observations.host.rules(broker.container).state
    local = all(listener.bound.is_loopback for listener in broker.exposed_ports.values())
    known = local or not is_declared(broker) or state != "unknown"
    lists = "; ".join(lines[: len(broker.listeners)])
    yield _controllers(settings, stack, observations, lists, problem=problem, known=known, fix=fix)
    anybody = open_to_all(broker)
    observed = f"rules {'unknown: the login is not root' if state == 'unknown' else state}"
    if local:
        observed = "bound to this host only"
    if anybody:
        observed = f"anybody reaches {', '.join(anybody)}"
    yield CheckResult(
        name="firewall",
        description="only the declared networks reach the ports",
        status="fail" if problem or anybody else "pass" if known else "unknown",
        observed=problem or observed,
        fix=f"allowFrom in the stack file, then {fix}" if anybody else fix,
    )


def _controllers(
    settings: Settings,
    stack: str,
    observations: Observations,
    lists: str,
    *,
    problem: str,
    known: bool,
    fix: str,
) -> CheckResult:
    devices = [login.name for login in logins(settings) if settings.users[login.user].device]
    devices += [member for fleet in settings.fleets.values() for member in fleet.admitted]
    refused = [name for name in devices if observations.logins.get(name, "").startswith(REFUSED)]
    # allowFrom is no proof that devices can connect; a device in the log is.
    parties = observations.log.parties if observations.log else {}
    connected = {name: parties[name] for name in devices if name in parties}
    last = max(connected.items(), key=lambda item: item[1].last, default=None)
    in_log = f"{len(connected)} of {len(devices)} are in the log"
    if last is not None:
        in_log += f", the last {last[0]} from {last[1].address}, {last[1].last:%Y-%m-%dT%H:%M:%SZ}"
    return CheckResult(
        name="controllers",
        description="controllers can connect from their own network",
        status="fail" if problem or refused else "pass" if known and connected else "unknown",
        observed=f"{lists}; devices: {in_log if devices else 'none declared'}"
        + (f"; refused: {', '.join(refused)}" if refused else ""),
        fix=fix
        if problem or refused
        else "connect a device, then check again; who has connected: "
        f"./brokerctl inventory --stack {stack}",
    )


def _health(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    state = observations.host.health(settings.broker.container)
    return CheckResult(
        name="health",
        description="the container's health check passes",
        status=check_status(state.replace("starting", ""), state == "healthy"),
        observed=state or "not asked",
        fix=f"docker inspect --format '{{{{json .State.Health}}}}' {settings.broker.container} "
        f"shows the output of the check; {fix}",
    )


def is_declared_conf(settings: Settings, observations: Observations) -> bool | None:
    """Return whether mosquitto.conf matches the stack file; None if it was not read."""
    broker = settings.broker
    path = f"{broker.folders.config}/{broker.files.conf}"
    # Both forms match: checklist.py compares the container's label, which depends on the form.
    return is_text(observations.host, path, render_conf(broker, reserved=True)) or is_text(
        observations.host, path, render_conf(broker)
    )
