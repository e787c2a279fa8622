"""Whether the archives are there that were declared, and whether one can be relied on."""

from __future__ import annotations

from dataclasses import dataclass

from broker.backup.backups import longest_gap
from broker.checks.check_result import CheckResult, Verdict, judged
from broker.checks.observations import Observations
from broker.settings.cron_schedule import CronSchedule
from broker.settings.stack_settings import Settings

LATE = 3600
"""Seconds that a backup may come after its time."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """What backup.sh or verify_backup.sh of ``host/commands`` left beside the archives."""

    made: int
    archive: str
    retained: int

    @classmethod
    def parse(cls, text: str) -> Note | None:
        """Return what *text* says; nothing where it is none of theirs, or cut short."""
        words = [*text.split(), "0"][:3]
        if len(words) < 3 or not (words[0].isdecimal() and words[2].isdecimal()):  # noqa: PLR2004
            return None
        return cls(made=int(words[0]), archive=words[1], retained=int(words[2]))


def backups(settings: Settings, stack: str, sight: Observations) -> CheckResult:
    """Return the point."""
    declared, container = settings.broker.backups, settings.broker.container
    asks = "the data is backed up in time, and the last archive is there"
    if declared is None:
        return CheckResult(
            name="backups",
            asks=asks,
            verdict="unknown",
            seen="no backup is declared",
            mend=f"broker.backups: a folder, then ./brokerctl up --stack {stack}",
        )
    now, said = sight.host.now, sight.host.backup_note("verified")
    up = sight.host.seconds_up(container)
    # By hand alone: nobody promised when.
    timetable = CronSchedule.parse(declared.schedule) if declared.schedule else None
    gap = longest_gap(timetable).total_seconds() if timetable else None
    last, drilled = Note.parse(said), Note.parse(sight.host.backup_note("drilled"))
    tried = f"{_days(now - drilled.made)} ago" if now is not None and drilled else "never"
    mend = (
        f"./brokerctl backup create --stack {stack} says what hinders one; is the host's cron or "
        f"timer there? Only up installs it: ./brokerctl up --stack {stack}"
    )
    verdict: Verdict
    if now is None or not sight.host.backups_asked:
        verdict, seen = "unknown", "not asked"
    elif last is None and said:
        verdict, seen = "fail", f"{declared.folder}/.verified-{container} is garbled"
    elif last is None:
        due = gap is not None and (up is None or up > gap + LATE)
        verdict = "fail" if due else "unknown" if gap is None else "pass"
        seen = f"none in {declared.folder} yet; schedule: {declared.schedule or 'by hand'}"
    else:
        age, there = now - last.made, sight.host.archive_present("verified")
        verdict = judged("asked", there and (gap is None or age <= gap + LATE))
        seen = f"{declared.folder}/{last.archive}: {'' if there else 'GONE; '}made {_days(age)} ago"
        full = _fuller(sight, last)
        if full is not None:
            path = f"{declared.folder}/{full.archive}"
            verdict = "fail"
            seen += f"; it holds no retained message, and {path} held {full.retained}"
            mend = (
                f"were they lost? ./brokerctl backup restore {path} --stack {stack}; that archive "
                "stays until then. Were they to go? Delete it"
            )
        elif verdict == "pass" and declared.recipient and not _opened(drilled):
            verdict = "unknown"
            seen += "; encrypted, and nobody has opened one yet"
            mend = (
                f"./brokerctl backup verify --stack {stack} --identity FILE, the file with the age "
                "identity"
            )
    return CheckResult(
        name="backups",
        asks=asks,
        verdict=verdict,
        seen=f"{seen}; tried on a broker of its own (./brokerctl backup verify): {tried}",
        mend=mend,
    )


def _fuller(sight: Observations, last: Note) -> Note | None:
    """Return the archive that holds what *last* has lost, as long as it is there."""
    filled = Note.parse(sight.host.backup_note("filled"))
    if filled is None or last.retained or not sight.host.archive_present("filled"):
        return None
    return filled


def _opened(drilled: Note | None) -> bool:
    return drilled is not None and drilled.archive.endswith(".age")


def _days(seconds: int) -> str:
    return f"{seconds // 3600} hours" if seconds < 2 * 86_400 else f"{seconds // 86_400} days"
