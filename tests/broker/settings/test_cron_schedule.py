"""A schedule says the same to cron and to systemd, and one that never comes is refused."""

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
def test_cron_and_systemd_are_told_the_same(text, cron, calendar):
    found = CronSchedule.parse(text)
    assert (found.cron(), found.on_calendar()) == (cron, calendar)
    assert CronSchedule.parse(found.cron()) == found
    said = subprocess.run(
        ["systemd-analyze", "calendar", calendar], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "never" not in said.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 3 31 2 *", "never comes: no month of 2 has a day 31"),
        ("0 3 31 2,4,6 *", "never comes"),
        ("0 3 30 2 *", "never comes"),
        ("daily", "five fields"),
        ("", "five fields"),
        ("60 3 * * *", "minute '60': must lie between 0 and 59"),
        ("0 24 * * *", "hour '24'"),
        ("0 3 0 * *", "day of the month '0'"),
        ("0 3 * * mon", "day of the week 'mon'"),
        ("5-1 3 * * *", "minute '5-1'"),
        ("*/0 * * * *", "minute '*/0'"),
        ("0 3 1 * 1", "cron takes either, systemd both"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_rule(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
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
def test_how_long_it_may_be_until_the_next(text, gap):
    assert longest_gap(CronSchedule.parse(text)) == gap


def test_a_day_is_one_of_its_own_or_not():
    sundays = CronSchedule.parse("0 2 * * 0")
    assert sundays.on(date(2026, 11, 29))
    assert not sundays.on(date(2026, 11, 28))
