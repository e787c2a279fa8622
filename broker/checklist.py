"""The checklist and the security practices of the page by hand, judged from what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Literal

from broker.acl import render_acl
from broker.backup import longest_gap
from broker.conf import render_conf
from broker.delivery import Call
from broker.firewall import is_declared
from broker.guardrails import guard
from broker.host import Seen
from broker.logrotate import log_path, logrotate_path
from broker.needs import start_digest
from broker.refusals import total, worst_address
from broker.rotations import too_old
from broker.settings import Settings
from broker.sightings import Sightings
from broker.site import Listener
from broker.standing import report
from broker.timetable import Timetable

Verdict = Literal["pass", "fail", "unknown"]

LET_IN = "let in"
REFUSED = "refused"

FRESH = 120
"""Seconds: the check's own logins are in the log by then."""
LATE = 3600
"""Seconds that a backup may come after its time."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One line of the list: what was seen, and what mends it where it is not as it ought to be."""

    name: str
    asks: str
    verdict: Verdict
    seen: str
    mend: str = ""

    def as_data(self) -> dict[str, str]:
        return {
            "name": self.name,
            "asks": self.asks,
            "verdict": self.verdict,
            "seen": self.seen,
            "mend": "" if self.verdict == "pass" else self.mend,
        }


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What was seen of a broker, on its host and from where the check was run."""

    host: Seen
    image: str = ""
    """The image that ought to run."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What a client with a good login was told, by listener."""
    anonymous: Mapping[str, str] = field(default_factory=dict)
    """What a client without one was told, by listener."""
    guessed: Mapping[str, str] = field(default_factory=dict)
    """What a client with a user's name and another password was told, by listener."""
    logins: Mapping[str, str] = field(default_factory=dict)
    """What each user was told, by name."""
    here: str = ""
    """The address that the broker's network sees this machine by."""
    ages: Mapping[str, int] = field(default_factory=dict)
    """Days since each password is the one it is, by whose it is."""
    log: Sightings | None = None
    """What the log says of the last hour; nothing where nobody could read it."""


def check_calls(settings: Settings) -> list[Call]:
    """Return the calls of ``host/check.sh``, which follow those of ``host/probe.sh``."""
    broker = settings.broker
    folder = broker.folders.config
    files = broker.files
    words: list[tuple[str, ...]] = [
        ("broker", broker.container),
        *(("file", f"{folder}/{each}") for each in (files.conf, files.acl, files.passwords)),
        ("file", log_path(broker)),
        ("file", logrotate_path(broker)),
        ("file", f"{broker.folders.data}/mosquitto.db"),
        ("passwords", f"{folder}/{files.passwords}"),
        *(("blocks", f"{folder}/{each}") for each in (files.conf, files.acl)),
        *([("backups", broker.backups.folder)] if broker.backups else []),
    ]
    return [Call(words=each) for each in words]


def checklist(settings: Settings, stack: str, sight: Sight) -> list[Point]:
    """Return every point, in the order of the page."""
    return [
        *_deployment(settings, stack, sight),
        *_practices(settings, stack, sight),
        *_drift(settings, stack, sight),
    ]


def _deployment(settings: Settings, stack: str, sight: Sight) -> Iterator[Point]:
    up, restart = f"make up STACK={stack}", f"make restart STACK={stack}"
    rewrite = _rewrite(settings, stack)
    yield _container(settings, stack, sight)
    yield _ports(settings, sight, f"make firewall STACK={stack}")
    yield _anonymous(sight, rewrite)
    yield _hashes(settings, sight, rewrite)
    yield _rules(settings, sight, rewrite)
    yield _services(settings, sight, rewrite)
    yield from _networks(settings, sight, up)
    yield _log(settings, sight, restart)
    yield _persistence(settings, sight, restart)
    yield _health(settings, sight, restart)


def _rewrite(settings: Settings, stack: str) -> str:
    """
    Return what puts the declared files in place: text, owner and mode.

    Pulumi runs a command again when its inputs change, and doesn't see an edit on the host: an up
    alone leaves it. Another password of the health check is another input, and nobody else's.
    """
    return (
        f"broker.health.generation: another one than {settings.broker.health.generation!r} in the "
        f"stack file, then make up STACK={stack}: it writes all files anew, and disconnects nobody "
        "whose login is declared"
    )


def _container(settings: Settings, stack: str, sight: Sight) -> Point:
    name = settings.broker.container
    state, restarts = sight.host.get("state", name), sight.host.get("restarts", name)
    mend = f"make restart STACK={stack}; why it ended: make logs STACK={stack}"
    if _is_declared_conf(settings, sight) is False:
        mend = f"mosquitto.conf first. {_rewrite(settings, stack)}; then {mend}"
    if state == "absent":
        # Without a look at Docker, Pulumi takes it for being there.
        mend = (
            f'eval "$(make -s env STACK={stack})"; pulumi up --refresh --stack {stack}; or, where '
            f"it was never up: make up STACK={stack}"
        )
    return Point(
        name="container",
        asks="the broker's container is running",
        verdict=_judged(state, state == "running"),
        seen=f"{name}: {state or 'not asked'}, started again {restarts or '?'} times by Docker",
        mend=mend,
    )


def _ports(settings: Settings, sight: Sight, mend: str) -> Point:
    said: list[str] = []
    verdict: Verdict = "pass"
    for name, listener in settings.broker.listeners.items():
        answer = sight.answers.get(name, "")
        said.append(f"{name} ({listener.port}): {answer or 'not asked'}")
        taken = sight.host.get("port", str(listener.port))
        if taken not in ("", "free", "ours"):
            said[-1] += f"; the port is in use by {taken}"
        if answer == LET_IN:
            continue
        if not answer or not _is_meant(listener, sight.here):
            said[-1] += f"; {sight.here or 'this machine'} is not on its list"
            verdict = "unknown" if verdict == "pass" else verdict
        else:
            verdict = "fail"
    return Point(
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


def _anonymous(sight: Sight, mend: str) -> Point:
    guessed = {f"{name}, a wrong password": answer for name, answer in sight.guessed.items()}
    asked = {name: answer for name, answer in {**sight.anonymous, **guessed}.items() if answer}
    in_at = [name for name, answer in asked.items() if answer == LET_IN]
    refused = [name for name, answer in asked.items() if answer.startswith(REFUSED)]
    return Point(
        name="anonymous",
        asks="nobody is let in without a login, or with a wrong password",
        verdict="fail" if in_at else "pass" if refused else "unknown",
        seen="; ".join(f"{name}: {answer}" for name, answer in asked.items()) or "not asked",
        mend=f"somebody's edit of mosquitto.conf: {mend}",
    )


def _hashes(settings: Settings, sight: Sight, mend: str) -> Point:
    asks = "the password file is there, and holds hashes alone"
    path = f"{settings.broker.folders.config}/{settings.broker.files.passwords}"
    found = sight.host.get("passwords").split()
    file = _File.parse(sight.host.get("file", path))
    if len(found) < 2 or file is None:  # noqa: PLR2004 (two numbers)
        return _no_file("password hashes", asks, path, sight, mend)
    hashed, other = map(int, found[:2])
    owner = settings.broker.owner
    good = file.mode == "600" and file.owner == f"{owner.uid}:{owner.gid}"
    return Point(
        name="password hashes",
        asks=asks,
        verdict="pass" if good and hashed and not other else "fail",
        seen=f"{hashed} logins with a hash, {other} lines of another kind; mode {file.mode}, owner "
        f"{file.owner}",
        mend=f"{mend} (mode 600, owner {owner.uid}:{owner.gid})",
    )


def _rules(settings: Settings, sight: Sight, mend: str) -> Point:
    path = f"{settings.broker.folders.config}/{settings.broker.files.acl}"
    same = _is_text(sight.host, path, render_acl(settings))
    idle = [name for name, each in settings.users.items() if not _has_rules(each)]
    seen = "the ACL file is what the stack file says" if same else "the ACL file is another one"
    if same is None:
        seen = f"{path}: not asked"
    return Point(
        name="access rules",
        asks="every user has rules, and they are in the ACL file",
        verdict="fail" if same is False or idle else "unknown" if same is None else "pass",
        seen=seen + (f"; without any rule: {', '.join(idle)}" if idle else ""),
        mend=f"{mend}; then make explain USER=... TOPIC=... says which rule decides",
    )


def _has_rules(user: Any) -> bool:
    return bool(user.readwrite or user.read or user.write or user.roles)


def _services(settings: Settings, sight: Sight, mend: str) -> Point:
    wrong = {name: said for name, said in sight.logins.items() if said != LET_IN}
    reached = {name: said for name, said in wrong.items() if said.startswith(REFUSED)}
    unasked = [name for name in settings.users if name not in sight.logins]
    verdict: Verdict = "fail" if reached else "unknown" if wrong or not sight.logins else "pass"
    said = [f"{name}: {answer}" for name, answer in sorted(wrong.items())]
    if unasked:
        said.append(f"passwords that only their clients know: {', '.join(unasked)}")
    return Point(
        name="logins",
        asks="every user can log in with the password that the stack has for it",
        verdict=verdict,
        seen="; ".join([f"{len(sight.logins) - len(wrong)} of {len(sight.logins)} let in", *said]),
        mend=f"{mend}; clients read theirs with make credentials USER=...",
    )


def _networks(settings: Settings, sight: Sight, mend: str) -> Iterator[Point]:
    broker = settings.broker
    lines, problem = report(broker, sight.host)
    lists = "; ".join(lines[: len(broker.listeners)])
    state = sight.host.get("rules", broker.container).partition(" ")[0]
    local = all(each.bound.is_loopback for each in broker.gates.values())
    devices = [name for name, user in settings.users.items() if user.device]
    shut = [name for name in devices if sight.logins.get(name, "").startswith(REFUSED)]
    known = local or not is_declared(broker) or bool(state)
    verdict: Verdict = "fail" if problem or shut else "pass" if known else "unknown"
    yield Point(
        name="controllers",
        asks="controllers can connect from their own network",
        verdict=verdict,
        seen=f"{lists}; devices: {', '.join(devices) or 'none declared'}"
        + (f"; refused: {', '.join(shut)}" if shut else ""),
        mend=mend,
    )
    open_to_all = [
        name
        for name, each in broker.gates.items()
        if not each.bound.is_loopback and (each.for_anybody or not is_declared(broker))
    ]
    seen = f"rules {state or 'not seen: not root there'}"
    if local:
        seen = "bound to this host alone"
    if open_to_all:
        seen = f"anybody reaches {', '.join(open_to_all)}"
    yield Point(
        name="firewall",
        asks="nobody reaches a port but from the declared networks",
        verdict="fail" if problem or open_to_all else "pass" if known else "unknown",
        seen=problem or seen,
        mend=f"allowFrom in the stack file, then {mend}" if open_to_all else mend,
    )


def _no_file(name: str, asks: str, path: str, sight: Sight, mend: str) -> Point:
    absent = sight.host.get("file", path) == "absent"
    return Point(
        name=name,
        asks=asks,
        verdict="fail" if absent else "unknown",
        seen=f"{path}: {'absent' if absent else 'not asked'}",
        mend=mend,
    )


def _log(settings: Settings, sight: Sight, mend: str) -> Point:
    asks = "the log is written into its folder"
    path = log_path(settings.broker)
    file = _File.parse(sight.host.get("file", path))
    now = sight.host.get("now")
    if file is None or not now:
        return _no_file("log", asks, path, sight, mend)
    age = int(now) - file.changed
    quiet = "notice" not in settings.broker.logging.types
    fresh = file.size > 0 and age <= FRESH
    return Point(
        name="log",
        asks=asks,
        verdict="pass" if fresh else "unknown" if quiet else "fail",
        seen=f"{path}: {file.size:,} bytes, written {age} seconds ago; {_rotated(settings, sight)}",
        mend=f"is the disk full (df)? Is the folder another's? chown -R {_owner(settings)} "
        f"{settings.broker.folders.log}, then {mend}",
    )


def _rotated(settings: Settings, sight: Sight) -> str:
    path = logrotate_path(settings.broker)
    if _File.parse(sight.host.get("file", path)) is not None:
        return f"logrotate keeps {settings.broker.logging.keep} older ones"
    return f"no {path}: without logrotate it grows; or somebody else's file has it rotated"


def _persistence(settings: Settings, sight: Sight, mend: str) -> Point:
    broker = settings.broker
    path = f"{broker.folders.data}/mosquitto.db"
    file = _File.parse(sight.host.get("file", path))
    now, interval = sight.host.get("now"), broker.persistence.autosave_interval
    up = _seconds_up(sight.host.get("started", broker.container), now)
    asks = "persistence is on, and the database is written"
    # With autosaveOnChanges the interval counts changes, and a quiet broker makes none.
    timed = not broker.persistence.autosave_on_changes
    unit = "seconds" if timed else "changes"
    owner = _owner(settings)
    mend = (
        f"is the disk full (df)? Is the folder another's? chown -R {owner} {broker.folders.data}, "
        f"then {mend}"
    )
    if not now or not sight.host.get("file", path):
        return Point(name="persistence", asks=asks, verdict="unknown", seen="not asked")
    if file is None:
        due = timed and up is not None and up > 2 * interval
        return Point(
            name="persistence",
            asks=asks,
            verdict="fail" if due else "unknown",
            seen=f"{path}: absent; it is written every {interval} {unit}",
            mend=mend,
        )
    age = int(now) - file.changed
    late = timed and age > 2 * interval and (up is None or up > 2 * interval)
    foreign = file.owner != owner
    return Point(
        name="persistence",
        asks=asks,
        verdict="fail" if late or foreign or not file.size else "pass",
        seen=f"{path}: {file.size:,} bytes, written {age} seconds ago, every {interval} {unit} at "
        f"most; owner {file.owner}",
        mend=mend,
    )


def _owner(settings: Settings) -> str:
    return f"{settings.broker.owner.uid}:{settings.broker.owner.gid}"


def _seconds_up(started: str, now: str) -> float | None:
    try:
        return int(now) - datetime.fromisoformat(started[:19] + "+00:00").timestamp()
    except ValueError:
        return None


def _health(settings: Settings, sight: Sight, mend: str) -> Point:
    state = sight.host.get("health", settings.broker.container)
    return Point(
        name="health",
        asks="the container's health check passes",
        verdict=_judged(state.replace("starting", ""), state == "healthy"),
        seen=state or "not asked",
        mend=f"docker inspect --format '{{{{json .State.Health}}}}' {settings.broker.container} "
        f"says what it saw; {mend}",
    )


def _practices(settings: Settings, stack: str, sight: Sight) -> Iterator[Point]:
    broker = settings.broker
    adopted = [name for name, user in settings.users.items() if not user.password_known]
    yield Point(
        name="strong passwords",
        asks="passwords have 16 characters at least",
        verdict="unknown" if adopted else "pass",
        seen=f"generated ones have {broker.passwords.length}, supplied ones 16 at least"
        + (f"; adopted, and known to their clients alone: {', '.join(adopted)}" if adopted else ""),
        mend=f"make rotate STACK={stack} USER={','.join(adopted)}",
    )
    found = guard(settings, stack)
    yield Point(
        name="least rights",
        asks="nobody may do more than is needed",
        verdict="fail"
        if any(each.level == "error" for each in found)
        else "unknown"
        if found
        else "pass",
        seen="; ".join(map(str, found)) or "no guardrail speaks",
        mend="the stack file's users, or guardrails with a reason",
    )
    public = [
        f"{name}: {each}"
        for name, listener in broker.listeners.items()
        for each in listener.allow_from
        if not each.is_private
    ]
    yield Point(
        name="internal network",
        asks="no network of the internet is let in",
        verdict="fail" if public else "pass",
        seen="; ".join(public) or "every declared network is a private one",
        mend="allowFrom in the stack file",
    )
    most = broker.passwords.max_age_days
    old = list(too_old(sight.ages, most)) if most else []
    yield Point(
        name="rotation",
        asks="passwords are changed from time to time",
        verdict="fail" if old else "pass" if most else "unknown",
        seen="; ".join(old)
        or (f"none is older than {most} days" if most else "no passwords.maxAgeDays is declared"),
        mend=f"make rotate STACK={stack} USER=..." if old else "broker.passwords.maxAgeDays: 90",
    )
    kinds = broker.logging.types
    yield Point(
        name="watched log",
        asks="refused logins are in the log (2.0 writes none of its WebSockets')",
        verdict="pass" if "notice" in kinds else "fail",
        seen=f"logging.types: {', '.join(kinds)}",
        mend="broker.logging.types: with 'notice'",
    )
    yield _refused_logins(settings, stack, sight)
    yield _backups(settings, stack, sight)


def _backups(settings: Settings, stack: str, sight: Sight) -> Point:
    broker = settings.broker
    declared = broker.backups
    asks = "the data is backed up in time, and the last archive is there"
    if declared is None:
        return Point(
            name="backups",
            asks=asks,
            verdict="unknown",
            seen="no backup is declared",
            mend="broker.backups: a folder, then make up",
        )
    now = sight.host.get("now")
    up = _seconds_up(sight.host.get("started", broker.container), now)
    # By hand alone: nobody promised when.
    timetable = Timetable.parse(declared.schedule) if declared.schedule else None
    gap = longest_gap(timetable).total_seconds() if timetable else None
    last = sight.host.get("backup", "verified").split()
    drilled = sight.host.get("backup", "drilled").split()
    there = sight.host.get("backup", "there") == "yes"
    verdict: Verdict
    tried = f"{_days(int(now) - int(drilled[0]))} ago" if now and drilled else "never"
    if not now or not sight.host.get("backup", "asked"):
        verdict, seen = "unknown", "not asked"
    elif not last:
        due = gap is not None and (up is None or up > gap + LATE)
        verdict = "fail" if due else "unknown" if gap is None else "pass"
        seen = f"none in {declared.folder} yet; schedule: {declared.schedule or 'by hand'}"
    else:
        age = int(now) - int(last[0])
        verdict = _judged("asked", there and (gap is None or age <= gap + LATE))
        seen = f"{declared.folder}/{last[1]}: {'' if there else 'GONE; '}made {_days(age)} ago"
    return Point(
        name="backups",
        asks=asks,
        verdict=verdict,
        seen=f"{seen}; tried on a broker of its own (make verify-backup): {tried}",
        mend=f"make backup STACK={stack} says what hinders one; is the host's cron or timer there? "
        f"Only up installs it: make up STACK={stack}",
    )


def _days(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds < 2 * 86_400 else f"{seconds // 86_400} days"


def _refused_logins(settings: Settings, stack: str, sight: Sight) -> Point:
    most = settings.broker.logging.refused_per_hour
    logged = sight.log is not None and "notice" in settings.broker.logging.types
    times, seen = 0, "the log was not read"
    if sight.log is not None:
        times = total(sight.log.refused)
        address, by_it = worst_address(sight.log)
        seen = f"{times} in the last hour" + (f", {by_it} from {address}" if by_it else "")
    return Point(
        name="refused logins",
        asks=f"no more than {most} logins an hour are refused",
        verdict="fail" if times > most else "pass" if logged else "unknown",
        seen=seen,
        mend=f"make refused STACK={stack} says who: a client with an old password, which reads its "
        "own with make credentials USER=..., or a stranger, whom allowFrom keeps out; "
        "broker.logging.refusedPerHour is the limit",
    )


def _drift(settings: Settings, stack: str, sight: Sight) -> Iterator[Point]:
    broker = settings.broker
    same = _is_declared_conf(settings, sight)
    label = sight.host.get("configuration", broker.container)
    current = start_digest(broker, sight.image) == label if label else None
    said = [
        *(["mosquitto.conf is another one than declared"] if same is False else []),
        *(["the container was made from other settings"] if current is False else []),
    ]
    known = same is not None and current is not None
    up = f"make up STACK={stack}: every client is disconnected once"
    yield Point(
        name="drift",
        asks="what runs is what the stack file says",
        verdict="fail" if said else "pass" if known else "unknown",
        seen="; ".join(said) or ("nothing differs" if known else "not asked"),
        mend=_rewrite(settings, stack) if same is False else up,
    )


def _judged(seen: str, good: bool) -> Verdict:  # noqa: FBT001 (a verdict's two inputs)
    return "unknown" if not seen else "pass" if good else "fail"


@dataclass(frozen=True, kw_only=True)
class _File:
    mode: str
    owner: str
    changed: int
    size: int

    @classmethod
    def parse(cls, text: str) -> _File | None:
        parts = text.split()
        if len(parts) != 5:  # noqa: PLR2004 (mode, owner, group, time, size)
            return None
        mode, uid, gid, changed, size = parts
        return cls(mode=mode, owner=f"{uid}:{gid}", changed=int(changed), size=int(size))


def _is_declared_conf(settings: Settings, sight: Sight) -> bool | None:
    broker = settings.broker
    path = f"{broker.folders.config}/{broker.files.conf}"
    return _is_text(sight.host, path, render_conf(broker))


def _is_text(seen: Seen, path: str, text: str) -> bool | None:
    """Return whether the file holds *text*; nothing where nobody could look."""
    said = seen.get("blocks", path)
    # Pulumi hands objects over with their keys sorted: the order of blocks is not the stack file's.
    return said == blocks_digest(text) if said else None


def blocks_digest(text: str) -> str:
    """Return what ``host/check.sh`` says of a file with *text*."""
    blocks = sorted(each.replace("\n", "\1") for each in text.strip("\n").split("\n\n"))
    return sha256("".join(f"{each}\n" for each in blocks).encode()).hexdigest()


def render_text(points: list[Point]) -> str:
    """Return a line for each point, and what mends it below those that did not pass."""
    marks = {"pass": "pass   ", "fail": "FAIL   ", "unknown": "unknown"}
    lines: list[str] = []
    for each in points:
        lines.append(f"{marks[each.verdict]} {each.asks}: {each.seen}")
        if each.verdict == "fail":
            lines.append(f"        mend: {each.mend}")
    return "\n".join(lines) + "\n"


def render_page(points: list[Point]) -> str:
    """Return the points as a Markdown table."""
    rows = ["| | asked | seen | mended by |", "| --- | --- | --- | --- |"]
    for each in points:
        data = {key: value.replace("|", "\\|") for key, value in each.as_data().items()}
        rows.append(f"| {data['verdict']} | {data['asks']} | {data['seen']} | {data['mend']} |")
    return "\n".join(rows) + "\n"
