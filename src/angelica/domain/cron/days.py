"""The two day fields together: which days of a month match, for each of the 28 shapes that a month can have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Final, Literal

from angelica.domain.cron.fields import DAY, WEEKDAY, bits

DayMatch = Literal["auto", "any", "all"]

SHAPES: Final = 28
_LENGTHS: Final = (0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NONE: Final = (0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class MonthDays:
    """The day-of-month field: masks of days (`7`), `nW`, `L-n` and `L-nW` (bit n); `star` if it begins with * or ?."""

    plain: int
    nearest: int = 0
    last: int = 0
    last_nearest: int = 0
    star: bool = False

    @property
    def every(self) -> bool:
        """Whether all days match."""
        return self.plain == DAY.full


@dataclass(frozen=True, slots=True)
class WeekDays:
    """The day-of-week field, bit 0 Sunday: masks of days, of `day#n` for n = 1…5, and of `dayL`; `star` as above."""

    plain: int
    nth: tuple[int, ...] = _NONE
    last: int = 0
    star: bool = False

    @property
    def every(self) -> bool:
        """Whether all days match."""
        return self.plain == WEEKDAY.full


@dataclass(frozen=True, slots=True)
class Days:
    """Both day fields, and whether a day must match both of them or either."""

    month: MonthDays
    week: WeekDays
    both: bool


def combine(month: MonthDays, week: WeekDays, match: DayMatch) -> Days:
    """Return the rule for days.

    `auto`: a field that begins with `*` or `?` is open, then both must match; else either may. `all`: both must.
    `any`: either may, but a field that is left open altogether does not turn that into every day.
    """
    if match == "auto":
        both = month.star or week.star
    elif match == "all":
        both = True
    else:
        both = (month.star and month.every) or (week.star and week.every)
    return Days(month, week, both)


@lru_cache(maxsize=2048)
def month_table(days: Days) -> tuple[int, ...]:
    """Return, for each shape, the mask of the days of the month that match (bit 1 is the first)."""
    table = []
    for shape in range(SHAPES):
        first, length = shape // 4, 28 + shape % 4
        in_month = _month_mask(days.month, first, length)
        in_week = _week_mask(days.week, first, length)
        table.append(in_month & in_week if days.both else in_month | in_week)
    return tuple(table)


def month_length(year: int, month: int) -> int:
    """Return the number of days of a month."""
    if month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):  # noqa: PLR2004
        return 29
    return _LENGTHS[month]


def month_lengths(month: int) -> tuple[int, ...]:
    """Return the numbers of days that a month can have."""
    return (28, 29) if month == 2 else (_LENGTHS[month],)  # noqa: PLR2004


@lru_cache(maxsize=4096)
def month_shape(year: int, month: int) -> int:
    """Return the shape of a month: four times the weekday of its first day (0 is Sunday) plus its length beyond 28."""
    return date(year, month, 1).isoweekday() % 7 * 4 + month_length(year, month) - 28


def _month_mask(days: MonthDays, first: int, length: int) -> int:
    mask = days.plain & (((1 << length) - 1) << 1)
    for day in bits(days.nearest):
        if day <= length:
            mask |= 1 << _nearest_weekday(day, first, length)
    for back in bits(days.last):
        if back < length:
            mask |= 1 << (length - back)
    for back in bits(days.last_nearest):
        if back < length:
            mask |= 1 << _nearest_weekday(length - back, first, length)
    return mask


def _nearest_weekday(day: int, first: int, length: int) -> int:
    """Return the day from Monday to Friday nearest to `day` without leaving the month."""
    weekday = (first + day - 1) % 7
    if weekday == 6:  # noqa: PLR2004 - Saturday
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


def _week_mask(days: WeekDays, first: int, length: int) -> int:
    mask = 0
    for weekday in bits(days.plain):
        for day in range(1 + (weekday - first) % 7, length + 1, 7):
            mask |= 1 << day
    for n, nth in enumerate(days.nth):
        for weekday in bits(nth):
            day = 1 + (weekday - first) % 7 + 7 * n
            if day <= length:
                mask |= 1 << day
    for weekday in bits(days.last):
        mask |= 1 << (length - (first + length - 1 - weekday) % 7)
    return mask
