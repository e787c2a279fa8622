"""A schedule means the same to cron and to systemd, and occurs at least once."""

import re
import subprocess
from datetime import date, timedelta

import pytest

from broker.backup.backups import longest_gap
from broker.settings.cron_schedule import CronSchedule


@pytest.mark.parametrize(
    ("text", "cron", "calendar"),
    [
        ("30 3 * * *", "30 3 * * *", "*-*-* 3:30:00"),
        ("*/15 * * * *", "0,15,30,45 * * * *", "*-*-* *:0,15,30,45:00"),
        ("0 2 * * 7", "0 2 * * 0", "Sun *-*-* 2:0:00"),
        ("0 2 * * 1-5", "0 2 * * 1,2,3,4,5", "Mon,Tue,Wed,Thu,Fri *-*-* 2:0:00"),
        ("5 4 1,15 */6 *", "5 4 1,15 1,7 *", "*-1,7-1,15 4:5:00"),
        ("0 3 29 2 *", "0 3 29 2 *", "*-2-29 3:0:00"),
    ],
)
def test_cron_and_systemd_run_at_the_same_times(text, cron, calendar):
    schedule = CronSchedule.parse(text)
    assert (schedule.cron(), schedule.on_calendar()) == (cron, calendar)
    assert CronSchedule.parse(schedule.cron()) == schedule
    analyzed = subprocess.run(
        ["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=False
    )
    assert analyzed.returncode == 0, analyzed.stderr
    assert "never" not in analyzed.stdout


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0 3 31 2 *", "never occurs: no month of 2 has a day 31"),
        ("0 3 31 2,4,6 *", "never occurs"),
        ("0 3 30 2 *", "never occurs"),
        ("daily", "five fields"),
        ("", "five fields"),
        ("60 3 * * *", "minute '60': must be between 0 and 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 3 0 * *", "day of the month '0'"),
        ("0 3 * * mon", "day of the week 'mon'"),
        ("5-1 3 * * *", "minute '5-1'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("0 3 1 * 1", "cron runs on days that match either"),
    ],
)
def test_invalid_schedule_is_an_error_with_the_rule(text, rule):
    with pytest.raises(ValueError, match=re.escape(rule)):
        CronSchedule.parse(text)


@pytest.mark.parametrize(
    ("text", "gap"),
    [
        ("30 3 * * *", timedelta(days=1)),
        ("0 2 * * 1-5", timedelta(days=3)),
        ("0 8,20 * * *", timedelta(hours=12)),
        ("0 8,18 * * *", timedelta(hours=14)),
        ("0 0 1 * *", timedelta(days=31)),
        ("0 3 29 2 *", timedelta(days=1461)),
        ("*/5 * * * *", timedelta(minutes=5)),
    ],
)
def test_longest_gap_between_two_runs(text, gap):
    assert longest_gap(CronSchedule.parse(text)) == gap


def test_schedule_includes_only_matching_days():
    sundays = CronSchedule.parse("0 2 * * 0")
    assert sundays.on(date(2026, 11, 29))
    assert not sundays.on(date(2026, 11, 28))
