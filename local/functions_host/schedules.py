"""Timer schedules: NCRONTAB expressions of six fields (seconds first) or five, and constant intervals.

NCRONTAB differs from crontab: day of month and day of week must *both* match, and `n/step` runs from n to the field's
end (atifaziz/NCrontab, which the timer extension uses). Times are UTC, as in Azure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from local.functions_host.timespan import parse_timespan

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ANY_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
# The longest wait of any valid expression: 29 February on one weekday, across a century that skips a leap year.
_HORIZON_DAYS = 366 * 41


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


class Schedule:
    """When a timer is due."""

    def after(self, moment: datetime) -> datetime:
        """The first due time strictly after `moment` (aware, UTC)."""
        raise NotImplementedError

    def is_subminute(self) -> bool:
        """Whether it is due more often than once a minute."""
        raise NotImplementedError


@dataclass(frozen=True)
class IntervalSchedule(Schedule):
    """Due every `interval` since it last ran."""

    interval: timedelta

    def after(self, moment: datetime) -> datetime:
        return moment + self.interval

    def is_subminute(self) -> bool:
        return self.interval < timedelta(minutes=1)

    def __str__(self) -> str:
        return f"every {self.interval}"


@dataclass(frozen=True)
class CronSchedule(Schedule):
    """Due at the moments whose every part is in the sets of the expression."""

    expression: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def after(self, moment: datetime) -> datetime:
        start = moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
        earliest: time | None = start.time()
        for offset in range(_HORIZON_DAYS):
            day = start.date() + timedelta(days=offset)
            if self._has(day):
                due = self._first(earliest if offset == 0 else time(0))
                if due is not None:
                    return datetime.combine(day, due, UTC)
        raise ValueError(f"The schedule expression {self.expression!r} is never due.")

    def is_subminute(self) -> bool:
        return len(self.seconds) > 1

    def _has(self, day: date) -> bool:
        return day.day in self.days and day.month in self.months and day.isoweekday() % 7 in self.weekdays

    def _first(self, earliest: time | None) -> time | None:
        """The first due time of a day that is not before `earliest`."""
        earliest = earliest or time(0)
        for hour in self.hours:
            if hour < earliest.hour:
                continue
            for minute in self.minutes:
                if (hour, minute) < (earliest.hour, earliest.minute):
                    continue
                for second in self.seconds:
                    if (hour, minute, second) >= (earliest.hour, earliest.minute, earliest.second):
                        return time(hour, minute, second)
        return None

    def __str__(self) -> str:
        return f"schedule {self.expression}"


def parse_schedule(expression: str) -> Schedule:
    """Read an NCRONTAB expression or a time span such as `00:00:05`. Raises ValueError, naming what is wrong."""
    parts = expression.split()
    if len(parts) in {5, 6}:
        return _cron(expression, parts)
    try:
        interval = parse_timespan(expression)
    except ValueError:
        raise ValueError(
            f"The schedule expression {expression!r} was not recognized as a valid cron expression or timespan string."
        ) from None
    if interval <= timedelta(0):
        raise ValueError(f"The schedule expression {expression!r} is not a positive time span.")
    return IntervalSchedule(interval)


def _cron(expression: str, parts: Sequence[str]) -> CronSchedule:
    fields = ["0", *parts] if len(parts) == 5 else list(parts)
    values = [_values(expression, field, text) for field, text in zip(_FIELDS, fields, strict=True)]
    second, minute, hour, day, month, weekday = values
    schedule = CronSchedule(
        expression=expression,
        seconds=tuple(sorted(second)),
        minutes=tuple(sorted(minute)),
        hours=tuple(sorted(hour)),
        days=frozenset(day),
        months=frozenset(month),
        weekdays=frozenset(weekday),
    )
    schedule.after(_ANY_MOMENT)
    return schedule


def _values(expression: str, field: _Field, text: str) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if match is None:
            raise ValueError(f"The schedule expression {expression!r} has {part!r} for the {field.name}.")
        star, first, last, step = match.groups()
        every = int(step or 1)
        low = field.low if star else _value(expression, field, first)
        high = low if last is None else _value(expression, field, last)
        if star or (step and last is None):
            high = field.high
        if every < 1 or low > high:
            raise ValueError(f"The schedule expression {expression!r} has {part!r} for the {field.name}.")
        values.update(range(low, high + 1, every))
    return values


def _value(expression: str, field: _Field, text: str) -> int:
    if text.isdigit():
        value = int(text)
    else:
        # NCrontab takes any unambiguous beginning of an English name; three letters are always enough.
        folded = text.lower()[:3]
        value = field.names.index(folded) + field.low if folded in field.names else -1
    if not field.low <= value <= field.high:
        raise ValueError(
            f"The schedule expression {expression!r} has {text!r} for the {field.name};"
            f" expected {field.low} to {field.high}."
        )
    return value
