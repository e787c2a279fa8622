"""Check that the declared backups exist and are recent, complete and verified."""

from __future__ import annotations

from dataclasses import dataclass

from broker.backup.backups import longest_gap
from broker.checks.check_result import CheckResult, CheckStatus, check_status
from broker.checks.observations import Observations
from broker.settings.cron_schedule import CronSchedule
from broker.settings.stack_settings import Settings

LATE = 3600
"""Seconds by which a backup may be late."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A note that backup.sh or verify_backup.sh of ``host/commands`` wrote beside the archives."""

    made: int
    archive: str
    retained: int

    @classmethod
    def parse(cls, text: str) -> Note | None:
        """Return the parsed note; None if *text* is no such note or is cut off."""
        words = [*text.split(), "0"][:3]
        if len(words) < 3 or not (words[0].isdecimal() and words[2].isdecimal()):  # noqa: PLR2004
            return None
        return cls(made=int(words[0]), archive=words[1], retained=int(words[2]))


def backups(settings: Settings, stack: str, observations: Observations) -> CheckResult:
    """Return the result for the backups."""
    declared, container = settings.broker.backups, settings.broker.container
    description = "the data is backed up on schedule, and the last archive exists"
    if declared is None:
        return CheckResult(
            name="backups",
            description=description,
            status="unknown",
            observed="no backup is declared",
            fix=f"broker.backups: a folder, then ./brokerctl up --stack {stack}",
        )
    now, note = observations.host.now, observations.host.backup_note("verified")
    up = observations.host.seconds_up(container)
    # Without a schedule, backups are made by hand, and none is late.
    timetable = CronSchedule.parse(declared.schedule) if declared.schedule else None
    gap = longest_gap(timetable).total_seconds() if timetable else None
    last, drilled = Note.parse(note), Note.parse(observations.host.backup_note("drilled"))
    verified = f"{_days(now - drilled.made)} ago" if now is not None and drilled else "never"
    fix = (
        f"./brokerctl backup create --stack {stack} makes one or shows why that fails; if the "
        f"host's timer or cron file is missing, ./brokerctl up --stack {stack} installs it"
    )
    status: CheckStatus
    if now is None or not observations.host.backups_asked:
        status, observed = "unknown", "not asked"
    elif last is None and note:
        status, observed = "fail", f"{declared.folder}/.verified-{container} is not readable"
    elif last is None:
        due = gap is not None and (up is None or up > gap + LATE)
        status = "fail" if due else "unknown" if gap is None else "pass"
        observed = f"none in {declared.folder} yet; schedule: {declared.schedule or 'by hand'}"
    else:
        age, exists = now - last.made, observations.host.archive_present("verified")
        status = check_status("asked", exists and (gap is None or age <= gap + LATE))
        missing = "" if exists else "MISSING; "
        observed = f"{declared.folder}/{last.archive}: {missing}made {_days(age)} ago"
        full = _last_full_archive(observations, last)
        if full is not None:
            path = f"{declared.folder}/{full.archive}"
            status = "fail"
            observed += f"; it holds no retained message, and {path} held {full.retained}"
            fix = (
                f"if messages were lost: ./brokerctl backup restore {path} --stack {stack}; that "
                "archive is kept until then. If they were deleted on purpose, delete that archive"
            )
        elif status == "pass" and declared.recipient and not _was_decrypted(drilled):
            status = "unknown"
            observed += "; encrypted, and no archive has been decrypted yet"
            fix = (
                f"./brokerctl backup verify --stack {stack} --identity FILE, with the file of the "
                "age identity"
            )
    return CheckResult(
        name="backups",
        description=description,
        status=status,
        observed=f"{observed}; last verified (./brokerctl backup verify): {verified}",
        fix=fix,
    )


def _last_full_archive(observations: Observations, last: Note) -> Note | None:
    """Return the archive with the retained messages that *last* lacks, if it exists."""
    filled = Note.parse(observations.host.backup_note("filled"))
    if filled is None or last.retained or not observations.host.archive_present("filled"):
        return None
    return filled


def _was_decrypted(drilled: Note | None) -> bool:
    return drilled is not None and drilled.archive.endswith(".age")


def _days(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds < 2 * 86_400 else f"{seconds // 86_400} days"
