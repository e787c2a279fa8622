"""Check that log and database are written, who owns them, and that the disks have room."""

from __future__ import annotations

from broker.checks.check_result import CheckResult, CheckStatus
from broker.checks.observations import (
    Observations,
    folder_owner,
    owner,
    written_folders,
)
from broker.logs.logrotate import log_path, logrotate_path
from broker.settings.stack_settings import Settings

FRESH = 120
"""Seconds. The logins of the check are in the log by then."""
MIB = 2**20
ENOUGH_BYTES = 2**30
ENOUGH_FRACTION = 20
"""A disk is nearly full if less than ``ENOUGH_BYTES`` and less than a twentieth is free."""


def log(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    """Return the result for the log."""
    description = "the log is written into its folder"
    path = log_path(settings.broker)
    file = observations.host.file(path)
    now = observations.host.now
    if file is None or now is None:
        return no_file("log", description, path, observations, fix)
    age = now - file.changed
    quiet = "notice" not in settings.broker.logging.types
    fresh = file.size > 0 and age <= FRESH
    wrong_owner, folder = wrong_folder_owner(settings, observations, settings.broker.folders.log)
    wrong_owner = wrong_owner or file.owner != owner(settings.broker)
    return CheckResult(
        name="log",
        description=description,
        status="fail" if wrong_owner else "pass" if fresh else "unknown" if quiet else "fail",
        observed=f"{path}: {file.size:,} bytes, written {age} seconds ago, owner "
        f"{file.owner}{folder}; {_rotated(settings, observations)}",
        fix="is the disk full (df)? Does the folder have the wrong owner? "
        f"{chown_command(settings, settings.broker.folders.log)}, then {fix}",
    )


def _rotated(settings: Settings, observations: Observations) -> str:
    path = logrotate_path(settings.broker)
    if observations.host.file(path) is not None:
        return f"logrotate keeps {settings.broker.logging.keep} older ones"
    return f"no {path}: the log grows, unless another file for logrotate rotates it"


def persistence(settings: Settings, observations: Observations, fix: str) -> CheckResult:
    """Return the result for the database."""
    broker = settings.broker
    path = f"{broker.folders.data}/mosquitto.db"
    file = observations.host.file(path)
    now, interval = observations.host.now, broker.persistence.autosave_interval
    up = observations.host.seconds_up(broker.container)
    description = "persistence is on, and the database is written"
    # With autosaveOnChanges the interval counts changes, and an idle broker makes none.
    timed = not broker.persistence.autosave_on_changes
    unit = "seconds" if timed else "changes"
    wrong_owner, folder = wrong_folder_owner(settings, observations, broker.folders.data)
    fix = (
        "is the disk full (df)? Does the folder have the wrong owner? "
        f"{chown_command(settings, broker.folders.data)}, then {fix}"
    )
    if now is None or not observations.host.file_asked(path):
        return CheckResult(
            name="persistence", description=description, status="unknown", observed="not asked"
        )
    if file is None:
        due = timed and up is not None and up > 2 * interval
        return CheckResult(
            name="persistence",
            description=description,
            status="fail" if due or wrong_owner else "unknown",
            observed=f"{path}: absent; it is written every {interval} {unit}{folder}",
            fix=fix,
        )
    age = now - file.changed
    late = timed and age > 2 * interval and (up is None or up > 2 * interval)
    wrong_owner = wrong_owner or file.owner != owner(broker)
    return CheckResult(
        name="persistence",
        description=description,
        status="fail" if late or wrong_owner or not file.size else "pass",
        observed=f"{path}: {file.size:,} bytes, written {age} seconds ago, every {interval} {unit} "
        f"at most; owner {file.owner}{folder}",
        fix=fix,
    )


def room(settings: Settings, observations: Observations) -> CheckResult:
    """Return the result for the disks; a database needs room for two copies of itself."""
    broker = settings.broker
    database = observations.host.file(f"{broker.folders.data}/mosquitto.db")
    required = 3 * (database.size if database else 0)
    lines: list[str] = []
    status: CheckStatus = "pass"
    for folder in written_folders(broker):
        space = observations.host.disk_space(folder)
        if space is None:
            lines.append(f"{folder}: not asked")
            status = "unknown" if status == "pass" else status
            continue
        size, free = space.size, space.free
        lines.append(f"{folder}: {free // MIB:,} of {size // MIB:,} MiB are free")
        if free < required or (free < ENOUGH_BYTES and ENOUGH_FRACTION * free < size):
            status = "fail"
    return CheckResult(
        name="room",
        description="data, log and backups have room on their disks: a twentieth or a GiB, and "
        "three times the database",
        status=status,
        observed="; ".join(lines),
        fix="df -h, docker system df; docs/how-to/incident-runbook.md, The disk is full. Do not "
        "restart the broker until there is room",
    )


def wrong_folder_owner(
    settings: Settings, observations: Observations, folder: str
) -> tuple[bool, str]:
    """Return whether *folder* is missing or has the wrong owner, and text for ``observed``."""
    actual = observations.host.folder_owner(folder)
    if actual in ("", folder_owner(settings.broker, folder)):
        return False, ""
    return True, f"; the folder {'is' if actual == 'absent' else 'belongs to'} {actual}"


def chown_command(settings: Settings, folder: str) -> str:
    """Return the command that restores the owner of *folder* and of the files in it."""
    broker = settings.broker
    files = f"chown -Rh {owner(broker)} {folder}"
    if folder_owner(broker, folder) == owner(broker):
        return files
    folders = f"find {folder} -type d -exec chown {folder_owner(broker, folder)} {{}} +"
    return f"{files} && {folders}"


def no_file(
    name: str, description: str, path: str, observations: Observations, fix: str
) -> CheckResult:
    """Return the result of a check whose file is absent or was not read."""
    absent = observations.host.file_absent(path)
    return CheckResult(
        name=name,
        description=description,
        status="fail" if absent else "unknown",
        observed=f"{path}: {'absent' if absent else 'not asked'}",
        fix=fix,
    )
