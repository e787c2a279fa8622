"""The points of the page's deployment checklist, each judged from what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from broker.checks.check_result import CheckResult, Verdict, judged
from broker.checks.observations import LET_IN, REFUSED, Observations, is_text, owner
from broker.checks.storage import foreign, given_back, log, no_file, persistence, room
from broker.credentials.logins import logins, stamps
from broker.firewall.backend import is_declared
from broker.firewall.drift import report
from broker.mosquitto.acl_file import render_acl
from broker.mosquitto.mosquitto_conf import render_conf
from broker.settings.broker_settings import Broker
from broker.settings.listener_settings import Listener
from broker.settings.stack_settings import Settings


def deployment(settings: Settings, stack: str, sight: Observations) -> Iterator[CheckResult]:
    """Yield them in the order of the page."""
    up, restart = f"./brokerctl up --stack {stack}", f"./brokerctl restart --stack {stack}"
    anew = rewrite(settings, stack)
    yield _container(settings, stack, sight)
    yield _ports(settings, sight, f"./brokerctl firewall --stack {stack}")
    yield _anonymous(sight, anew)
    yield _hashes(settings, sight, anew)
    yield _rules(settings, sight, anew)
    yield _services(settings, sight, anew)
    if settings.broker.env_files:
        yield _env_files(settings, stack, sight)
    yield from _networks(settings, stack, sight, up)
    if settings.broker.tls_listeners:
        yield _certificates(settings, sight, up)
    yield log(settings, sight, restart)
    yield persistence(settings, sight, restart)
    yield room(settings, sight)
    yield _health(settings, sight, restart)


def rewrite(settings: Settings, stack: str) -> str:
    """
    Return what puts the declared files in place: text, owner and mode.

    Pulumi runs a command again when its inputs change, and doesn't see an edit on the host: an up
    alone leaves it. Another password of the health check is another input, and nobody else's.
    """
    return (
        f"broker.health.generation: another one than {settings.broker.health.generation!r} in the "
        f"stack file, then ./brokerctl up --stack {stack}: it writes all files anew, and "
        "disconnects nobody whose login is declared"
    )


def _container(settings: Settings, stack: str, sight: Observations) -> CheckResult:
    name = settings.broker.container
    state, restarts = sight.host.container_state(name), sight.host.restarts(name)
    mend = f"./brokerctl restart --stack {stack}; why it ended: ./brokerctl logs --stack {stack}"
    if is_declared_conf(settings, sight) is False:
        mend = f"mosquitto.conf first. {rewrite(settings, stack)}; then {mend}"
    if state == "absent":
        # Without a look at Docker, Pulumi takes it for being there.
        mend = (
            f'eval "$(./brokerctl env --stack {stack})"; pulumi up --refresh --stack {stack}; or, '
            f"where it was never up: ./brokerctl up --stack {stack}"
        )
    return CheckResult(
        name="container",
        asks="the broker's container is running",
        verdict=judged(state, state == "running"),
        seen=f"{name}: {state or 'not asked'}, started again {restarts or '?'} times by Docker",
        mend=mend,
    )


def _ports(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    said: list[str] = []
    verdict: Verdict = "pass"
    for name, listener in settings.broker.listeners.items():
        answer = sight.answers.get(name, "")
        said.append(f"{name} ({listener.port}): {answer or 'not asked'}")
        if user := sight.host.port_user(listener.port):
            said[-1] += f"; the port is in use by {user}"
        if answer == LET_IN:
            continue
        if not answer or not _is_meant(listener, sight.here):
            said[-1] += f"; {sight.here or 'this machine'} is not on its list"
            verdict = "unknown" if verdict == "pass" else verdict
        else:
            verdict = "fail"
    return CheckResult(
        name="ports",
        asks="every port answers a client that may reach it",
        verdict=verdict,
        seen="; ".join(said),
        mend=f"is it the address and port that clients are told (MQTT_URL)? {mend}",
    )


def _is_meant(listener: Listener, here: str) -> bool:
    """Return whether a client at *here* is one that the listener is for."""
    if not here:
        return False
    address = ip_address(here)
    if listener.bound.is_loopback or address.is_loopback:
        return address.is_loopback
    return not listener.allow_from or any(address in each for each in listener.allow_from)


def _anonymous(sight: Observations, mend: str) -> CheckResult:
    guessed = {f"{name}, a wrong password": answer for name, answer in sight.guessed.items()}
    asked = {name: answer for name, answer in {**sight.anonymous, **guessed}.items() if answer}
    in_at = [name for name, answer in asked.items() if answer == LET_IN]
    refused = [name for name, answer in asked.items() if answer.startswith(REFUSED)]
    return CheckResult(
        name="anonymous",
        asks="nobody is let in without a login, or with a wrong password",
        verdict="fail" if in_at else "pass" if refused else "unknown",
        seen="; ".join(f"{name}: {answer}" for name, answer in asked.items()) or "not asked",
        mend=f"somebody's edit of mosquitto.conf: {mend}",
    )


def _hashes(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    asks = "the password file is there, and holds hashes alone"
    path = f"{settings.broker.folders.config}/{settings.broker.files.passwords}"
    lines, file = sight.host.password_lines, sight.host.file(path)
    if lines is None or file is None:
        return no_file("password hashes", asks, path, sight, mend)
    hashed, other = lines.hashed, lines.other
    # The canary's too, whom nobody declares.
    declared = len(stamps(settings)) + 1
    good = file.mode == "600" and file.owner == owner(settings.broker)
    others, folder = foreign(settings, sight, settings.broker.folders.config)
    return CheckResult(
        name="password hashes",
        asks=asks,
        verdict="pass" if good and hashed == declared and not (other or others) else "fail",
        seen=f"{hashed} logins with a hash, {declared} are declared; {other} lines of another "
        f"kind; mode {file.mode}, owner {file.owner}{folder}",
        mend=given_back(settings, settings.broker.folders.config)
        if others
        else f"{mend} (mode 600, owner {owner(settings.broker)})",
    )


def _rules(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    path = f"{settings.broker.folders.config}/{settings.broker.files.acl}"
    same = is_text(sight.host, path, render_acl(settings))
    idle = [name for name, each in settings.users.items() if not _has_rules(each)]
    seen = "the ACL file is what the stack file says" if same else "the ACL file is another one"
    if same is None:
        seen = f"{path}: not asked"
    return CheckResult(
        name="access rules",
        asks="every user has rules, and they are in the ACL file",
        verdict="fail" if same is False or idle else "unknown" if same is None else "pass",
        seen=seen + (f"; without any rule: {', '.join(idle)}" if idle else ""),
        mend=f"{mend}; then ./brokerctl explain USER TOPIC says which rule decides",
    )


def _has_rules(user: Any) -> bool:
    return bool(user.readwrite or user.read or user.write or user.roles)


def _services(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    wrong = {name: said for name, said in sight.logins.items() if said != LET_IN}
    reached = {name: said for name, said in wrong.items() if said.startswith(REFUSED)}
    unasked = [name for name in settings.users if name not in sight.logins]
    verdict: Verdict = "fail" if reached else "unknown" if wrong or not sight.logins else "pass"
    said = [f"{name}: {answer}" for name, answer in sorted(wrong.items())]
    if unasked:
        said.append(f"passwords that only their clients know: {', '.join(unasked)}")
    return CheckResult(
        name="logins",
        asks="every user can log in with the password that the stack has for it",
        verdict=verdict,
        seen="; ".join([f"{len(sight.logins) - len(wrong)} of {len(sight.logins)} let in", *said]),
        mend=f"{mend}; clients read theirs with ./brokerctl credentials USER",
    )


def _env_files(settings: Settings, stack: str, sight: Observations) -> CheckResult:
    said: list[str] = []
    wrong: list[str] = []
    asked = True
    for each in settings.broker.env_files:
        file, digest = sight.host.file(each.path), sight.host.file_digest(each.path)
        good = f"600 {each.owner.uid}:{each.owner.gid}"
        if sight.host.file_absent(each.path):
            wrong.append(f"{each.path}: absent")
        elif file is None or each.path not in sight.env:
            asked = False
            said.append(f"{each.path}: not asked")
        elif digest != sight.env[each.path]:
            wrong.append(f"{each.path}: MQTT_URL or another line is not what it ought to be")
        elif f"{file.mode} {file.owner}" != good:
            wrong.append(f"{each.path}: mode {file.mode}, owner {file.owner}; {good} was declared")
        else:
            said.append(f"{each.path}: as it was written")
    users = list(dict.fromkeys(each.user for each in settings.broker.env_files))
    read = "; ".join(f"./brokerctl credentials {user} --stack {stack}" for user in users)
    return CheckResult(
        name="env files",
        asks="services read from their env files where the broker is, and how to log in",
        verdict="fail" if wrong else "pass" if asked else "unknown",
        seen="; ".join([*wrong, *said]),
        mend=f"what belongs there: {read}. No up sees an edit on the host; ./brokerctl rotate "
        f"{' '.join(users)} --stack {stack} writes it, with another password",
    )


def _certificates(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    said: list[str] = []
    verdict: Verdict = "pass"
    for name, listener in settings.broker.tls_listeners.items():
        certificate = sight.host.certificate(name)
        looked_at = (certificate, sight.host.client_ca(name))
        wrong = [found.text for found in looked_at if found.state in ("due", "wrong")]
        left = _seconds_left(sight.ends.get(name, ""), sight.host.now)
        soon = sight.host.certificate_ends(name)
        said.append(f"{name}: ends {sight.ends.get(name) or 'nobody knows when'}")
        if wrong or soon or (left is not None and left < 0):
            verdict = "fail"
            said[-1] += "".join(f"; {each}" for each in wrong)
        elif left is None or (
            certificate.state == "unknown" and not (listener.tls and listener.tls.external)
        ):
            verdict = "unknown" if verdict == "pass" else verdict
    return CheckResult(
        name="certificates",
        asks="no certificate has ended, or is about to",
        verdict=verdict,
        seen="; ".join(said),
        mend=f"a given or supplied one: put the renewed one in its place; then {mend}",
    )


def _seconds_left(end: str, now: int | None) -> float | None:
    try:
        return None if now is None else datetime.fromisoformat(end).timestamp() - now
    except ValueError:
        return None


def open_to_all(broker: Broker) -> list[str]:
    """Return the ports that anybody reaches, by the name of their gate."""
    return [
        name
        for name, each in broker.exposed_ports.items()
        if not each.bound.is_loopback and (each.open_to_everyone or not is_declared(broker))
    ]


def _networks(
    settings: Settings, stack: str, sight: Observations, mend: str
) -> Iterator[CheckResult]:
    broker = settings.broker
    lines, problem = report(broker, sight.host)
    lists = "; ".join(lines[: len(broker.listeners)])
    state = sight.host.rules(broker.container).state
    local = all(each.bound.is_loopback for each in broker.exposed_ports.values())
    devices = [each.name for each in logins(settings) if settings.users[each.user].device]
    devices += [each for fleet in settings.fleets.values() for each in fleet.admitted]
    shut = [name for name in devices if sight.logins.get(name, "").startswith(REFUSED)]
    known = local or not is_declared(broker) or state != "unknown"
    # A list of networks lets nobody in: that one of them came is what tells that they can.
    came = (
        {name: sight.log.parties[name] for name in devices if name in sight.log.parties}
        if sight.log
        else {}
    )
    last = max(came.items(), key=lambda each: each[1].last, default=None)
    met = f"{len(came)} of {len(devices)} are in the log"
    if last is not None:
        met += f", the last {last[0]} from {last[1].address}, {last[1].last:%Y-%m-%dT%H:%M:%SZ}"
    yield CheckResult(
        name="controllers",
        asks="controllers can connect from their own network",
        verdict="fail" if problem or shut else "pass" if known and came else "unknown",
        seen=f"{lists}; devices: {met if devices else 'none declared'}"
        + (f"; refused: {', '.join(shut)}" if shut else ""),
        mend=mend
        if problem or shut
        else f"let one come, and ask again; who was here: ./brokerctl inventory --stack {stack}",
    )
    anybody = open_to_all(broker)
    seen = f"rules {'not seen: not root there' if state == 'unknown' else state}"
    if local:
        seen = "bound to this host alone"
    if anybody:
        seen = f"anybody reaches {', '.join(anybody)}"
    yield CheckResult(
        name="firewall",
        asks="nobody reaches a port but from the declared networks",
        verdict="fail" if problem or anybody else "pass" if known else "unknown",
        seen=problem or seen,
        mend=f"allowFrom in the stack file, then {mend}" if anybody else mend,
    )


def _health(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    state = sight.host.health(settings.broker.container)
    return CheckResult(
        name="health",
        asks="the container's health check passes",
        verdict=judged(state.replace("starting", ""), state == "healthy"),
        seen=state or "not asked",
        mend=f"docker inspect --format '{{{{json .State.Health}}}}' {settings.broker.container} "
        f"says what it saw; {mend}",
    )


def is_declared_conf(settings: Settings, sight: Observations) -> bool | None:
    broker = settings.broker
    path = f"{broker.folders.config}/{broker.files.conf}"
    # Of which form it ought to be is the container's to say, by its label
    # (broker/checks/checklist.py).
    return is_text(sight.host, path, render_conf(broker, reserved=True)) or is_text(
        sight.host, path, render_conf(broker)
    )
