"""Backups: script calls, the timer, and reports of backup, verification and restore."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from broker.host.layout import HEALTH_DIR, database_call, ready_call
from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.script_functions import Archive, Backup, Restore, VerifyBackup
from broker.host.scripts import HostScript
from broker.host.timer import Timer
from broker.settings.backup_settings import Backups
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import DAYS, CronSchedule

VERB = "backup"
"""The name of the timer among those of a broker."""

SCRIPTS = (HostScript.BACKUP,)
"""The scripts of ``backup_calls``."""


def backup_calls(broker: Broker, backups: Backups, stack: str, socket: str) -> list[ScriptCall]:
    """Return the calls of ``host/commands/backup.sh``."""
    return [
        *archive_calls(broker, backups, stack, socket),
        Backup.password_file(broker.files.passwords),
    ]


def archive_calls(
    broker: Broker, backups: Backups, stack: str, socket: str, identity: str = ""
) -> list[ScriptCall]:
    """Return the calls of ``host/lib/archive.sh``; *identity*: text of an age identity file."""
    folder_call = Archive.backups(
        backups.folder,
        config_folder=broker.folders.config,
        stack=stack,
        keep=backups.keep,
        recipient=backups.recipient or "",
    )
    calls = [database_call(broker, socket, ""), folder_call]
    if identity:
        calls.append(Archive.identity(identity.rstrip("\n") + "\n"))
    return calls


def drill_calls(broker: Broker, archive: str) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/verify_backup.sh``.

    *archive* is a path, or ``latest``.
    """
    options = f"{HEALTH_DIR}/mosquitto_sub"
    return [
        VerifyBackup.archive(archive),
        VerifyBackup.files(passwords=broker.files.passwords, acl=broker.files.acl, options=options),
    ]


def restore_calls(broker: Broker, *, other: bool) -> list[ScriptCall]:
    """Return the calls of ``host/commands/restore.sh``, which follow ``drill_calls``."""
    return [ready_call(broker), Restore.restore(seconds=broker.stop_grace, foreign=other)]


def backup_timer(
    broker: Broker,
    backups: Backups,
    timetable: CronSchedule,
    stack: str,
    *,
    socket: str,
    script: str,
) -> Timer:
    """Return the timer that makes the backups; *script* is the text of ``SCRIPTS``."""
    return Timer(
        broker=broker,
        verb=VERB,
        does="A backup of the MQTT broker",
        setting="broker.backups",
        timetable=timetable,
        text=render_stdin(script, backup_calls(broker, backups, stack, socket)),
        needs="age" if backups.recipient else "",
        catch_up=True,
    )


@dataclass(frozen=True)
class Report:
    """The report of a backup, a verification or a restore: ``key value`` lines."""

    facts: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Report:
        lines = (line.partition(" ") for line in text.rstrip("\n").split("\n"))
        return cls({key: value for key, _, value in lines})

    def counts(self) -> str:
        """Return the contents of the archive as a phrase."""
        counts = [
            f"{int(self.facts.get('retained', 0)):,} retained messages",
            f"{int(self.facts.get('sessions', 0)):,} sessions of disconnected clients",
            f"{int(self.facts.get('queued', 0)):,} queued messages",
        ]
        return ", ".join(counts)

    def ended(self) -> str:
        """Return a sentence if the counts fell since the backup was made; else an empty text."""
        recorded = self.facts.get("named", "").split()
        keys = ("retained", "sessions", "queued")
        if not recorded or recorded == [self.facts.get(key, "") for key in keys]:
            return ""
        then = Report(dict(zip(keys, recorded, strict=True)))
        return f"It held {then.counts()}: sessions and messages can expire."


def longest_gap(timetable: CronSchedule) -> timedelta:
    """Return the longest time between two scheduled backups."""
    first = date(2000, 1, 1)
    # Eight years contain every combination of leap day and weekday that can change a gap.
    days = (first + timedelta(days=n) for n in range(8 * DAYS))
    days_with_backup = [day for day in days if timetable.on(day)]
    times = timetable.times()
    gaps = [timedelta(minutes=b - a) for a, b in pairwise(times)]
    gaps += [
        (after - before) + timedelta(minutes=times[0] - times[-1])
        for before, after in pairwise(days_with_backup)
    ]
    return max(gaps)
