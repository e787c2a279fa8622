"""Backups of what the broker keeps: when they are made, what they hold, and what a host says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from broker.host.layout import HEALTH_DIR, database_call, ready_call
from broker.host.script_calls import ScriptCall, render_stdin
from broker.host.scripts import HostScript
from broker.host.timer import Timer
from broker.settings.backup_settings import Backups
from broker.settings.broker_settings import Broker
from broker.settings.cron_schedule import DAYS, CronSchedule

SCRIPTS = (HostScript.BACKUP,)
"""Of ``host/``, one after the other."""


def backup_calls(broker: Broker, backups: Backups, stack: str, socket: str) -> list[ScriptCall]:
    """Return the calls of ``host/commands/backup.sh``."""
    return [
        *archive_calls(broker, backups, stack, socket),
        ScriptCall(words=("password_file", broker.files.passwords)),
    ]


def archive_calls(
    broker: Broker, backups: Backups, stack: str, socket: str, identity: str = ""
) -> list[ScriptCall]:
    """Return the calls of ``host/lib/archive.sh``; *identity*: text of an age identity file."""
    words = (
        *("backups", backups.folder, broker.folders.config, stack),
        *(str(backups.keep), backups.recipient or ""),
    )
    calls = [database_call(broker, socket, ""), ScriptCall(words=words)]
    if identity:
        calls.append(ScriptCall(words=("identity",), text=identity.rstrip("\n") + "\n"))
    return calls


def drill_calls(broker: Broker, archive: str) -> list[ScriptCall]:
    """
    Return the calls of ``host/commands/verify_backup.sh``, for the *archive* at a path, or the
    ``latest``.
    """
    options = f"{HEALTH_DIR}/mosquitto_sub"
    return [
        ScriptCall(words=("archive", archive)),
        ScriptCall(words=("files", broker.files.passwords, broker.files.acl, options)),
    ]


def restore_calls(broker: Broker, *, other: bool) -> list[ScriptCall]:
    """Return the calls of ``host/commands/restore.sh`` beside those of a drill."""
    grace, foreign = str(broker.stop_grace), "yes" if other else "no"
    return [ready_call(broker), ScriptCall(words=("restore", grace, foreign))]


def backup_timer(
    broker: Broker,
    backups: Backups,
    timetable: CronSchedule,
    stack: str,
    *,
    socket: str,
    script: str,
) -> Timer:
    """Return what makes a backup at its times; *script* is the text of ``SCRIPTS``."""
    return Timer(
        broker=broker,
        verb="backup",
        does="A backup of the MQTT broker",
        setting="broker.backups",
        timetable=timetable,
        text=render_stdin(script, backup_calls(broker, backups, stack, socket)),
        needs="age" if backups.recipient else "",
        made_up_for=True,
    )


@dataclass(frozen=True)
class Report:
    """What a backup, a drill or a restore says it found: ``key value`` lines."""

    facts: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Report:
        pairs = (line.partition(" ") for line in text.rstrip("\n").split("\n"))
        return cls({key: value for key, _, value in pairs})

    def counts(self) -> str:
        """Return what the archive holds, as a person says it."""
        said = [
            f"{int(self.facts.get('retained', 0)):,} retained messages",
            f"{int(self.facts.get('sessions', 0)):,} sessions of clients that are away",
            f"{int(self.facts.get('queued', 0)):,} messages that wait for them",
        ]
        return ", ".join(said)

    def ended(self) -> str:
        """Return a sentence on what has ended in the archive since; empty where nothing has."""
        named = self.facts.get("named", "").split()
        found = [self.facts.get(each, "") for each in ("retained", "sessions", "queued")]
        if not named or named == found:
            return ""
        then = Report(dict(zip(("retained", "sessions", "queued"), named, strict=True)))
        return f"It held {then.counts()}: sessions and messages may have an end of their own."


def longest_gap(timetable: CronSchedule) -> timedelta:
    """Return the longest time between two backups that are both on time."""
    first = date(2000, 1, 1)
    # Eight years hold every pair of a leap day and a day of the week that matters to a gap.
    fires = [
        each for each in (first + timedelta(days=n) for n in range(8 * DAYS)) if timetable.on(each)
    ]
    times = timetable.times()
    gaps = [timedelta(minutes=b - a) for a, b in pairwise(times)]
    gaps += [
        (after - before) + timedelta(minutes=times[0] - times[-1])
        for before, after in pairwise(fires)
    ]
    return max(gaps)
