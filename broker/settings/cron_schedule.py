"""A schedule in five cron fields, which can be written as a systemd calendar expression, too."""

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
    """The minutes, hours, days, months and weekdays (0 is Sunday) of a schedule, all sorted."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> CronSchedule:
        """
        Parse five fields of crontab(5): ``*``, numbers, ranges, steps and lists of them.

        Raises:
            ValueError: the text is not a schedule, never occurs, or cron and systemd interpret it
                differently.

        """
        fields = text.split()
        if len(fields) != len(_FIELDS):
            raise ValueError(
                "must have five fields: minute, hour, day of the month, month, day of the week, "
                "such as '30 3 * * *' for 03:30 every day"
            )
        minutes, hours, days, months, days_of_week = (
            _numbers(field, *rule) for field, rule in zip(fields, _FIELDS, strict=True)
        )
        weekdays = tuple(sorted({number % 7 for number in days_of_week}))
        if len(days) < 31 and len(weekdays) < 7:  # noqa: PLR2004 (a month's and a week's days)
            raise ValueError(
                "restricts days of the month and days of the week: cron runs on days that match "
                "either, systemd on days that match both. Leave one of them '*'"
            )
        if not any(day <= _LONGEST.get(month, 31) for month in months for day in days):
            raise ValueError(
                f"never occurs: no month of {', '.join(map(str, months))} has a day {days[0]}"
            )
        return cls(minutes, hours, days, months, weekdays)

    def on(self, day: date) -> bool:
        """Return whether the schedule includes *day*."""
        return (
            day.day in self.days
            and day.month in self.months
            and day.isoweekday() % 7 in self.weekdays
        )

    def times(self) -> list[int]:
        """Return the times of day, in minutes since midnight."""
        return [60 * hour + minute for hour in self.hours for minute in self.minutes]

    def cron(self) -> str:
        """Return the schedule as five fields of crontab(5)."""
        fields = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(
            _list(numbers, least, most if most != 7 else 6)  # noqa: PLR2004 (7 is Sunday, like 0)
            for numbers, (_, least, most) in zip(fields, _FIELDS, strict=True)
        )

    def on_calendar(self) -> str:
        """Return the schedule for a systemd timer, as in systemd.time(7)."""
        week = "" if len(self.weekdays) == len(_WEEK) else self._week() + " "
        months, days = _list(self.months, 1, 12), _list(self.days, 1, 31)
        return f"{week}*-{months}-{days} {_list(self.hours, 0, 23)}:{_list(self.minutes, 0, 59)}:00"

    def _week(self) -> str:
        return ",".join(_WEEK[weekday] for weekday in self.weekdays)


def _list(numbers: Sequence[int], least: int, most: int) -> str:
    return "*" if len(numbers) == most - least + 1 else ",".join(map(str, numbers))


def _numbers(field: str, name: str, least: int, most: int) -> tuple[int, ...]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(least), str(most)
        elif not last:
            last = str(most) if step else first
        words = [first, last, step or "1"]
        if not all(word.isascii() and word.isdecimal() for word in words):
            raise ValueError(
                f"{name} {item!r}: must be '*', a number, a range, a step or a list of them"
            )
        begin, end, by = map(int, words)
        if not least <= begin <= end <= most or by < 1:
            raise ValueError(f"{name} {item!r}: must be between {least} and {most}")
        found |= set(range(begin, end + 1, by))
    return tuple(sorted(found))
