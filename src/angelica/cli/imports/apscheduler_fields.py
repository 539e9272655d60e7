"""APScheduler's cron fields as a cron text: its week begins on Monday as 0, and all of its fields must match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from angelica.cli.imports.celery_times import Unsaid, When

FIELDS: Final = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
_LOWEST: Final = {"year": "*", "month": "1", "day": "1", "week": "*", "day_of_week": "*", "hour": "0", "minute": "0"}
_DAYS: Final = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_NTH: Final = {"1st": "#1", "2nd": "#2", "3rd": "#3", "4th": "#4", "5th": "#5", "last": "L"}
_NTH_DAY: Final = re.compile(r"(1st|2nd|3rd|4th|5th|last) +(mon|tue|wed|thu|fri|sat|sun)")
_DAY_ITEM: Final = re.compile(r"([0-6])(?:-([0-6]))?(?:/(\d+))?")


def cron(given: Mapping[str, Any]) -> When:
    """Return the schedule of the fields of a cron trigger.

    As APScheduler has it, fields that are finer than the finest given one stand at their least value, coarser ones
    at `*`.
    """
    fields = {name: str(given[name]).strip().lower() for name in FIELDS if given.get(name) is not None}
    if not fields:
        raise Unsaid("a cron trigger has at least one field")
    if fields.get("week", "*") != "*":
        raise Unsaid("weeks of the year have no counterpart")
    finest = max(FIELDS.index(name) for name in fields)
    full = {
        name: fields.get(name, "*" if place < finest else _LOWEST.get(name, "0")) for place, name in enumerate(FIELDS)
    }
    day, weekday = full["day"], ",".join(_weekdays(item) for item in full["day_of_week"].split(","))
    nth: list[str] = []
    days: list[str] = []
    for item in day.split(","):
        if found := _NTH_DAY.fullmatch(item.strip()):
            nth.append(found[2].upper() + _NTH[found[1]])
        else:
            days.append("L" if item.strip() == "last" else item.strip())
    if nth and (days or weekday != "*"):
        raise Unsaid("the n-th weekday beside other days has no counterpart; make two schedules of it")
    if nth:
        day, weekday = "*", ",".join(nth)
    else:
        day = ",".join(days)
    text = f"{full['second']} {full['minute']} {full['hour']} {day} {full['month'].upper()} {weekday}"
    when: When = {"cron": text if full["year"] == "*" else f"{text} {full['year']}"}
    if day != "*" and weekday != "*":
        when["day_match"] = "all"
    return when


def _weekdays(item: str) -> str:
    """Numbers count from Monday; names are the same everywhere."""
    item = item.strip()
    found = _DAY_ITEM.fullmatch(item)
    if found is None:
        step = re.fullmatch(r"\*/(\d+)", item)
        if step is None:
            return item.upper()
        # Every n-th day from Monday on, not from Sunday.
        return ",".join(_DAYS[:: max(int(step[1]), 1)])
    first, last = int(found[1]), int(found[2] or found[1])
    if found[3]:
        return ",".join(_DAYS[first : (last if found[2] else 6) + 1 : max(int(found[3]), 1)])
    return _DAYS[first] if first == last else f"{_DAYS[first]}-{_DAYS[last]}"
