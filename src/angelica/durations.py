"""Durations, sizes and moments as text: `"1h30m"`, `"PT5M"`, `"512MiB"`, RFC 3339; and back.

Inside the engine a duration or a moment is a whole number of microseconds; a bare number at the surface is seconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from angelica.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND

MAX_DURATION: Final = 366_000 * DAY
"""About a thousand years: more is a mistake, and would not fit the calendar."""

FIRST_MOMENT: Final = 0
LAST_MOMENT: Final = 7_258_118_400 * SECOND  # 2200-01-01T00:00:00Z, exclusive
"""Moments are accepted from 1970 to 2199."""

_UNITS: Final = {
    "us": 1,
    "µs": 1,
    "ms": MILLISECOND,
    "s": SECOND,
    "sec": SECOND,
    "m": MINUTE,
    "min": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": 7 * DAY,
}
_PART: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(us|µs|ms|sec|s|min|m|h|d|w)\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_ISO: Final = re.compile(
    r"P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,12})M)?(?:(\d{1,15}(?:\.\d{1,9})?)S)?)?",
    re.ASCII,
)
_ISO_UNITS: Final = (7 * DAY, DAY, HOUR, MINUTE, SECOND)
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgtKMGT]?)(i?)[bB]?", re.ASCII)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION_FORMS: Final = 'must be a number of seconds or text like "30s", "1h30m" or "PT5M"'
_MOMENT_FORMS: Final = 'must be a moment with an offset like "2026-11-22T02:00:00Z"'
_MAX_SHOWN: Final = 100


def parse_duration(value: str | float | timedelta) -> int:
    """Return microseconds of `30`, `1.5`, `"30"` (seconds), `"30s"`, `"1h30m"`, `"PT5M"` or a `timedelta`.

    Raises `ValueError` with what would be right: for other forms, below 0, above a thousand years, NaN.
    """
    if isinstance(value, timedelta):
        micros = value // timedelta(microseconds=1)
    elif isinstance(value, bool):
        raise ValueError(_DURATION_FORMS)  # noqa: TRY004 - one kind of error for whoever reads user input
    elif isinstance(value, int):
        micros = value * SECOND
    elif isinstance(value, float):
        micros = round(value * SECOND) if abs(value) <= MAX_DURATION else (MAX_DURATION + 1)
        if value != value:  # noqa: PLR0124 - NaN
            raise ValueError(_DURATION_FORMS)
    elif isinstance(value, str):
        micros = _duration_text(value.strip())
    else:
        raise ValueError(_DURATION_FORMS)  # noqa: TRY004 - one kind of error for whoever reads user input
    if not 0 <= micros <= MAX_DURATION:
        message = "must be from 0 to a thousand years"
        raise ValueError(message)
    return micros


def _duration_text(text: str) -> int:
    if len(text) > _MAX_SHOWN:
        raise ValueError(_DURATION_FORMS)
    if _NUMBER.fullmatch(text):
        return _scaled(text, SECOND)
    if text[:1] in "Pp" and (iso := _ISO.fullmatch(text.upper())) and any(iso.groups()):
        return sum(_scaled(part, unit) for part, unit in zip(iso.groups(), _ISO_UNITS, strict=True) if part)
    total, at, last = 0, 0, 0
    while part := _PART.match(text, at):
        unit = _UNITS[part[2]]
        if last and unit >= last:
            break
        total += _scaled(part[1], unit)
        at, last = part.end(), unit
    if not last or at != len(text):
        raise ValueError(_DURATION_FORMS)
    return total


def _scaled(number: str, unit: int) -> int:
    """`number * unit` without the rounding of floats."""
    whole, _, fraction = number.partition(".")
    return int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def format_duration(micros: int) -> str:
    """Return the shortest text that `parse_duration` reads back, e.g. `1h30m`, `250ms`, `0s`."""
    sign, left, parts = ("-" if micros < 0 else ""), abs(micros), []
    for name, unit in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", MILLISECOND), ("us", 1)):
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count}{name}")
    return sign + ("".join(parts) or "0s")


def parse_size(value: str | int) -> int:
    """Return bytes of `1024`, `"64"`, `"512MiB"` (powers of 1024), `"4GB"` (powers of 1000), `"1.5G"`.

    Raises `ValueError` with what would be right.
    """
    forms = 'must be a number of bytes or text like "512MiB" or "4GB"'
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(forms)  # noqa: TRY004 - one kind of error for whoever reads user input
    if isinstance(value, str):
        found = _SIZE.fullmatch(value.strip())
        if not found or (found[3] and not found[2]):
            raise ValueError(forms)
        base = 1024 if found[3] else 1000
        value = _scaled(found[1], base ** _POWERS[found[2].lower()])
    if not 0 <= value < 2**60:
        message = "must be from 0 to an exbibyte"
        raise ValueError(message)
    return value


def parse_moment(value: str | float | datetime) -> int:
    """Return microseconds since the epoch of RFC 3339 text, an aware `datetime`, or a number of seconds.

    Raises `ValueError` without an offset, outside 1970…2199, or for a day or time that does not exist.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None or value.utcoffset() is None:
            message = "must have a time zone, e.g. datetime.now(UTC)"
            raise ValueError(message)
        micros = (value - _EPOCH) // timedelta(microseconds=1)
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(_MOMENT_FORMS)  # noqa: TRY004 - as above
    elif isinstance(value, str):
        micros = _moment_text(value.strip())
    else:
        inside = -LAST_MOMENT <= value * SECOND <= LAST_MOMENT if value == value else False  # noqa: PLR0124 - NaN
        micros = round(value * SECOND) if inside else -1
    if not FIRST_MOMENT <= micros < LAST_MOMENT:
        message = "must lie in the years 1970 to 2199"
        raise ValueError(message)
    return micros


def _moment_text(text: str) -> int:
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError(_MOMENT_FORMS)
    year, month, day, hour, minute, second = (int(found[n]) for n in range(1, 7))
    leap = second == 60  # noqa: PLR2004 - RFC 3339 allows a leap second; it is read as the next second
    fraction = int((found[7] or "").ljust(6, "0")[:6])
    zone: timezone = UTC
    if found[9]:
        hours, minutes = int(found[10]), int(found[11])
        if hours > 23 or minutes > 59:  # noqa: PLR2004 - the clock's own numbers
            raise ValueError(_MOMENT_FORMS)
        offset = timedelta(hours=hours, minutes=minutes)
        zone = timezone(offset if found[9] == "+" else -offset)
    try:
        local = datetime(year, month, day, hour, minute, second - leap, fraction, tzinfo=zone)
    except ValueError as error:
        message = f"is no moment of the calendar: {error}"
        raise ValueError(message) from None
    return (local - _EPOCH) // timedelta(microseconds=1) + leap * SECOND


def format_moment(micros: int) -> str:
    """Return RFC 3339 in UTC with milliseconds, e.g. `2026-11-22T02:00:26.000Z` (cut, not rounded)."""
    seconds, left = divmod(micros, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{left // MILLISECOND:03d}Z"
