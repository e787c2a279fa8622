"""Whether the log and the database are written, by whom, and whether there is room for them."""

from __future__ import annotations

from broker.checks.check_result import CheckResult, Verdict
from broker.checks.observations import (
    Observations,
    folder_owner,
    owner,
    written_folders,
)
from broker.logs.logrotate import log_path, logrotate_path
from broker.settings.stack_settings import Settings

FRESH = 120
"""Seconds: the check's own logins are in the log by then."""
MIB = 2**20
PLENTY = 2**30
PART = 20
"""What is left of a disk that is nearly full: less than a GiB, and than the twentieth part."""


def log(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    """Return the point of the log."""
    asks = "the log is written into its folder"
    path = log_path(settings.broker)
    file = sight.host.file(path)
    now = sight.host.now
    if file is None or now is None:
        return no_file("log", asks, path, sight, mend)
    age = now - file.changed
    quiet = "notice" not in settings.broker.logging.types
    fresh = file.size > 0 and age <= FRESH
    others, folder = foreign(settings, sight, settings.broker.folders.log)
    others = others or file.owner != owner(settings.broker)
    return CheckResult(
        name="log",
        asks=asks,
        verdict="fail" if others else "pass" if fresh else "unknown" if quiet else "fail",
        seen=f"{path}: {file.size:,} bytes, written {age} seconds ago, owner {file.owner}{folder}; "
        f"{_rotated(settings, sight)}",
        mend=f"is the disk full (df)? Is the folder another's? "
        f"{given_back(settings, settings.broker.folders.log)}, then {mend}",
    )


def _rotated(settings: Settings, sight: Observations) -> str:
    path = logrotate_path(settings.broker)
    if sight.host.file(path) is not None:
        return f"logrotate keeps {settings.broker.logging.keep} older ones"
    return f"no {path}: without logrotate it grows; or somebody else's file has it rotated"


def persistence(settings: Settings, sight: Observations, mend: str) -> CheckResult:
    """Return the point of the database."""
    broker = settings.broker
    path = f"{broker.folders.data}/mosquitto.db"
    file = sight.host.file(path)
    now, interval = sight.host.now, broker.persistence.autosave_interval
    up = sight.host.seconds_up(broker.container)
    asks = "persistence is on, and the database is written"
    # With autosaveOnChanges the interval counts changes, and a quiet broker makes none.
    timed = not broker.persistence.autosave_on_changes
    unit = "seconds" if timed else "changes"
    others, folder = foreign(settings, sight, broker.folders.data)
    mend = (
        f"is the disk full (df)? Is the folder another's? "
        f"{given_back(settings, broker.folders.data)}, then {mend}"
    )
    if now is None or not sight.host.file_asked(path):
        return CheckResult(name="persistence", asks=asks, verdict="unknown", seen="not asked")
    if file is None:
        due = timed and up is not None and up > 2 * interval
        return CheckResult(
            name="persistence",
            asks=asks,
            verdict="fail" if due or others else "unknown",
            seen=f"{path}: absent; it is written every {interval} {unit}{folder}",
            mend=mend,
        )
    age = now - file.changed
    late = timed and age > 2 * interval and (up is None or up > 2 * interval)
    others = others or file.owner != owner(broker)
    return CheckResult(
        name="persistence",
        asks=asks,
        verdict="fail" if late or others or not file.size else "pass",
        seen=f"{path}: {file.size:,} bytes, written {age} seconds ago, every {interval} {unit} at "
        f"most; owner {file.owner}{folder}",
        mend=mend,
    )


def room(settings: Settings, sight: Observations) -> CheckResult:
    """Return the point of the disks: a database is written, and unpacked, beside itself."""
    broker = settings.broker
    database = sight.host.file(f"{broker.folders.data}/mosquitto.db")
    least = 3 * (database.size if database else 0)
    said: list[str] = []
    verdict: Verdict = "pass"
    for each in written_folders(broker):
        space = sight.host.disk_space(each)
        if space is None:
            said.append(f"{each}: not asked")
            verdict = "unknown" if verdict == "pass" else verdict
            continue
        size, free = space.size, space.free
        said.append(f"{each}: {free // MIB:,} of {size // MIB:,} MiB are free")
        if free < least or (free < PLENTY and PART * free < size):
            verdict = "fail"
    return CheckResult(
        name="room",
        asks="data, log and backups have room on their disks: a twentieth or a GiB, and three "
        "times the database",
        verdict=verdict,
        seen="; ".join(said),
        mend="df -h, docker system df; docs/how-to/incident-runbook.md, The disk is full. Do not "
        "restart the broker before",
    )


def foreign(settings: Settings, sight: Observations, folder: str) -> tuple[bool, str]:
    """Return whether *folder* is another's, and what is said of it then."""
    found = sight.host.folder_owner(folder)
    if found in ("", folder_owner(settings.broker, folder)):
        return False, ""
    return True, f"; the folder {'is' if found == 'absent' else 'belongs to'} {found}"


def given_back(settings: Settings, folder: str) -> str:
    """Return what makes *folder* the broker's again."""
    broker = settings.broker
    files = f"chown -Rh {owner(broker)} {folder}"
    if folder_owner(broker, folder) == owner(broker):
        return files
    folders = f"find {folder} -type d -exec chown {folder_owner(broker, folder)} {{}} +"
    return f"{files} && {folders}"


def no_file(name: str, asks: str, path: str, sight: Observations, mend: str) -> CheckResult:
    """Return the point of a file that is absent, or that nobody could look at."""
    absent = sight.host.file_absent(path)
    return CheckResult(
        name=name,
        asks=asks,
        verdict="fail" if absent else "unknown",
        seen=f"{path}: {'absent' if absent else 'not asked'}",
        mend=mend,
    )
