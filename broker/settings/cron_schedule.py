"""When something happens again and again: cron's five fields, also as systemd says them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

DAYS = 366
_LONGEST = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_WEEK = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)


@dataclass(frozen=True)
class CronSchedule:
    """The minutes, hours, days, months and weekdays (0 is Sunday) that it names, each sorted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> CronSchedule:
        """
        Return what five fields of crontab(5) say: ``*``, numbers, ranges, steps and lists of them.

        Raises:
            ValueError: it isn't that, it never comes, or cron and systemd differ about it.

        """
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(
                "must have five fields: minute, hour, day of the month, month, day of the week, "
                "such as '30 3 * * *' for half past three each night"
            )
        found = [_numbers(field, *rule) for field, rule in zip(fields, _FIELDS, strict=True)]
        minutes, hours, days, months, named = found
        weekdays = tuple(sorted({each % 7 for each in named}))
        if len(days) < 31 and len(weekdays) < 7:  # noqa: PLR2004 (a month's and a week's days)
            raise ValueError(
                "names days of the month and days of the week: cron takes either, systemd both. "
                "Leave one of them '*'"
            )
        if not any(day <= _LONGEST.get(month, 31) for month in months for day in days):
            raise ValueError(
                f"never comes: no month of {', '.join(map(str, months))} has a day {days[0]}"
            )
        return cls(minutes, hours, days, months, weekdays)

    def on(self, day: date) -> bool:
        """Return whether *day* is one of its days."""
        return (
            day.day in self.days
            and day.month in self.months
            and day.isoweekday() % 7 in self.weekdays
        )

    def times(self) -> list[int]:
        """Return its times of the day, in minutes since midnight."""
        return [60 * hour + minute for hour in self.hours for minute in self.minutes]

    def cron(self) -> str:
        """Return the five fields, crontab(5)."""
        found = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(
            _list(each, least, most if most != 7 else 6)  # noqa: PLR2004 (Sunday's other number)
            for each, (_, least, most) in zip(found, _FIELDS, strict=True)
        )

    def on_calendar(self) -> str:
        """Return the same for a systemd timer, systemd.time(7)."""
        week = "" if len(self.weekdays) == len(_WEEK) else self._week() + " "
        months, days = _list(self.months, 1, 12), _list(self.days, 1, 31)
        return f"{week}*-{months}-{days} {_list(self.hours, 0, 23)}:{_list(self.minutes, 0, 59)}:00"

    def _week(self) -> str:
        return ",".join(_WEEK[each] for each in self.weekdays)


def _list(numbers: Sequence[int], least: int, most: int) -> str:
    return "*" if len(numbers) == most - least + 1 else ",".join(map(str, numbers))


def _numbers(field: str, name: str, least: int, most: int) -> tuple[int, ...]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(least), str(most)
        elif not last:
            last = str(most) if step else first
        words = [first, last, step or "1"]
        if not all(each.isascii() and each.isdecimal() for each in words):
            raise ValueError(f"{name} {part!r}: must be '*', numbers, ranges and steps of them")
        begin, end, by = map(int, words)
        if not least <= begin <= end <= most or by < 1:
            raise ValueError(f"{name} {part!r}: must lie between {least} and {most}")
        found |= set(range(begin, end + 1, by))
    return tuple(sorted(found))
