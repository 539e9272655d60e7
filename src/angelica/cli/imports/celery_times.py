"""Celery's ways to say when, as ours: crontab fields, intervals, and the texts that `default=str` makes of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from angelica.durations import format_duration

When = dict[str, Any]
"""The members of a schedule that say when: `cron` and `day_match`, or `every` (seconds)."""

FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
SECONDS: Final = {
    "microseconds": 1e-6,
    "milliseconds": 1e-3,
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3600.0,
    "days": 86_400.0,
    "weeks": 604_800.0,
}
_NAMES: Final = re.compile(r"[A-Za-z]+")
_DAYS: Final = frozenset({"sun", "mon", "tue", "wed", "thu", "fri", "sat"})
_MONTHS: Final = frozenset({"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"})
_WORD: Final = r"(\[[^\]]*\]|\{[^}]*\}|\S+)"  # a list or a set is printed as Python does
_CRONTAB: Final = re.compile(rf"<crontab: {' '.join([_WORD] * 5)} \(m/h/(d/dM/MY|dM/MY/d)\)>")
_FREQ: Final = re.compile(r"<freq: (\d+(?:\.\d+)?) (second|minute|hour|day)s?>")
_TIMEDELTA: Final = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")


class Unsaid(ValueError):
    """A time that has no counterpart here; the text says why."""


def crontab(fields: Mapping[str, Any]) -> When:
    """Return the schedule of `crontab(minute=…, hour=…, …)`; what is not given is `*`, as in Celery.

    Celery wants every field to match, so `day_match` is `all` where both day fields restrict.
    """
    unknown = [name for name in fields if name not in (*FIELDS, "nowfun", "app")]
    if unknown:
        raise Unsaid(f"crontab({unknown[0]}=…) is unknown")
    minute, hour, day, month, weekday = (_field(name, fields.get(name, "*")) for name in FIELDS)
    when: When = {"cron": f"{minute} {hour} {day} {month} {weekday}"}
    if day != "*" and weekday != "*":
        when["day_match"] = "all"
    return when


def _field(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str | list | tuple | set | frozenset):
        raise Unsaid(f"crontab({name}={value!r}) is not a number, a text or a list")
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(_field(name, each) for each in sorted(value, key=str)) or "*"
    text = str(value).replace(" ", "")
    return _NAMES.sub(_short, text) or "*"


def _short(found: re.Match[str]) -> str:
    """Celery takes `monday` and `mon`; we take the three letters."""
    letters = found[0][:3].lower()
    return letters.upper() if letters in _DAYS or letters in _MONTHS else found[0]


def interval(seconds: float) -> When:
    """Return the schedule of an interval."""
    if not seconds > 0:
        raise Unsaid("an interval is above 0")
    return {"every": format_duration(round(seconds * 1_000_000))}


def duration(parts: Mapping[str, Any]) -> float:
    """Return the seconds of `timedelta(…)`."""
    total = 0.0
    for name, value in parts.items():
        if name not in SECONDS or isinstance(value, bool) or not isinstance(value, int | float):
            raise Unsaid(f"timedelta({name}={value!r}) is unknown")
        total += SECONDS[name] * value
    return total


def spoken(text: str) -> tuple[When, str]:
    """Return the schedule of a text that `str()` made of a Celery schedule, and a note about it."""
    if found := _CRONTAB.fullmatch(text):
        order = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
        if found[6] == "dM/MY/d":
            order = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return crontab({name: part.strip("[]{}") for name, part in zip(order, found.groups()[:5], strict=True)}), ""
    if found := _FREQ.fullmatch(text):
        seconds = float(found[1]) * SECONDS[f"{found[2]}s"]
        note = "" if found[2] == "second" and found[1].endswith(".00") else f"`{text}` is rounded: look at the interval"
        return interval(seconds), note
    if found := _TIMEDELTA.fullmatch(text):
        days, hours, minutes, seconds_, micros = (part or "0" for part in found.groups())
        fraction = int(micros.ljust(6, "0")) / 1e6
        whole = ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(seconds_)
        return interval(whole + fraction), ""
    raise Unsaid(f"the time {text[:80]!r} cannot be read")
