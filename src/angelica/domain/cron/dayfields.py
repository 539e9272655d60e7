"""The grammar of the two day fields: plain lists with `?`, `L`, `W` and `#` among them."""

from __future__ import annotations

import re
from typing import Final

from angelica.domain.cron.days import MonthDays, WeekDays
from angelica.domain.cron.fields import DAY, DAY_NAMES, WEEKDAY
from angelica.domain.cron.items import Dialect, parse_item, value
from angelica.domain.cron.problem import Part
from angelica.errors import InvalidValue

_LAST: Final = re.compile(r"L(?:-([0-9]{1,6}))?(W)?")
_NEAREST: Final = re.compile(r"([0-9]{1,6})W")
_MOST_BACK: Final = 30
_MOST_WEEKS: Final = 5


def parse_month_days(part: Part, dialect: Dialect) -> MonthDays:
    """Return the day-of-month field."""
    if part.text == "?":
        return MonthDays(DAY.full, star=True)
    plain = nearest = last = last_nearest = 0
    for item in part.split():
        if found := _LAST.fullmatch(item.text):
            back = _back(item, found[1])
            if found[2]:
                last_nearest |= 1 << back
            else:
                last |= 1 << back
        elif found := _NEAREST.fullmatch(item.text):
            day = int(found[1])
            if not DAY.low <= day <= DAY.high:
                raise item.wrong(f"{item.text} is out of range", "out_of_range", "nW takes a day from 1 to 31")
            nearest |= 1 << day
        elif "W" in item.text or "L" in item.text:
            hint = "forms are 15W (the weekday nearest to the 15th), L, L-3, LW and L-3W"
            raise item.wrong(f"{item.text!r} is not a day", "bad_value", hint)
        elif "#" in item.text:
            hint = "'#' belongs to the day of week, as in MON#2"
            raise item.wrong(f"{item.text!r} is not a day", "misplaced", hint)
        else:
            plain |= parse_item(item, dialect)
    return MonthDays(plain, nearest, last, last_nearest, star=part.text.startswith("*"))


def _back(item: Part, digits: str | None) -> int:
    if digits is None:
        return 0
    if not 1 <= int(digits) <= _MOST_BACK:
        raise item.wrong(
            f"{item.text} is out of range", "out_of_range", "L-n counts 1 to 30 days back; L alone is the last"
        )
    return int(digits)


def parse_week_days(part: Part, dialect: Dialect) -> WeekDays:
    """Return the day-of-week field."""
    if part.text == "?":
        return WeekDays(WEEKDAY.full, star=True)
    if part.text == "L" and dialect == "quartz":
        return WeekDays(1 << 6)
    plain = last = 0
    nth = [0] * _MOST_WEEKS
    for item in part.split():
        if "#" in item.text:
            weekday, n = _nth(item, dialect)
            nth[n - 1] |= 1 << weekday
        elif item.text.endswith("L"):
            last |= 1 << _last(item, dialect)
        elif item.text.endswith("W"):
            raise item.wrong(f"{item.text!r} is not a day", "misplaced", "W belongs to the day of month")
        else:
            plain |= parse_item(item, dialect)
    return WeekDays(plain, tuple(nth), last, star=part.text.startswith("*"))


def _nth(item: Part, dialect: Dialect) -> tuple[int, int]:
    day, _, n = item.text.partition("#")
    if n not in {"1", "2", "3", "4", "5"}:
        raise item.wrong(f"{item.text!r} is not a day", "bad_value", "the number after '#' is 1 to 5, as in MON#2")
    return value(item, day, dialect) % 7, int(n)


def _last(item: Part, dialect: Dialect) -> int:
    if item.text == "L":
        raise _lone_last(item, dialect)
    return value(item, item.text[:-1], dialect) % 7


def _lone_last(item: Part, dialect: Dialect) -> InvalidValue:
    if dialect == "quartz":
        return item.wrong("'L' does not go into a list", "misplaced", "write SAT, or FRIL for the last Friday")
    return item.wrong("'L' needs a day", "misplaced", f"use 5L for the last Friday ({DAY_NAMES[5]}L is the same)")
