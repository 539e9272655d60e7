"""Durations as text: `1h30m` and ISO 8601, as whole microseconds and, where they have them, calendar parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from angelica.clock import DAY, HOUR, MINUTE, SECOND
from angelica.domain.cron.problem import problem
from angelica.errors import InvalidValue

LEAST_PERIOD: Final = SECOND
LONGEST_PERIOD: Final = 36_525 * DAY
"""A hundred years."""

_NANOS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": SECOND * 1_000,
    "m": MINUTE * 1_000,
    "h": HOUR * 1_000,
    "d": DAY * 1_000,
    "w": 7 * DAY * 1_000,
}
_PIECE: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,15}))?(ns|us|ms|s|m|h|d|w)", re.IGNORECASE)
_NUMBER: Final = r"(?:([0-9]{1,9}(?:[.,][0-9]{1,6})?)%s)?"
_ISO: Final = re.compile(
    "P" + "".join(_NUMBER % letter for letter in "YMWD") + "(T" + "".join(_NUMBER % letter for letter in "HMS") + ")?"
)
_MICROS: Final = (HOUR, MINUTE, SECOND)
_SHAPE: Final = "a duration is like 90s, 1h30m or 1.5h; units are ns, us, ms, s, m, h, d, w"


class _Wrong(Protocol):
    def __call__(self, what: str, rule: str, hint: str, /) -> InvalidValue: ...


@dataclass(frozen=True, slots=True)
class Duration:
    """Calendar months and days, and elapsed microseconds."""

    months: int = 0
    days: int = 0
    elapsed: int = 0


def parse_elapsed(text: str, *, position: int = 0, pointer: str = "/cron", least: int = LEAST_PERIOD) -> int:
    """Return the microseconds of `1h30m`, `1.5h`, `90s` (any case): elapsed time, a day is 24 h.

    Raises `InvalidValue` at `pointer` where it is unreadable, finer than a microsecond, shorter than `least`
    (microseconds) or longer than a hundred years.
    """

    def wrong(what: str, rule: str, hint: str, at: int = 0) -> InvalidValue:
        return problem(what, rule, field="every", token=text[at:], position=position + at, hint=hint, pointer=pointer)

    nanos = at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise wrong(f"{text!r} is not a duration", "bad_duration", _SHAPE, at)
        scale = _NANOS[piece[3].lower()]
        fraction = piece[2] or ""
        part, rest = divmod(int(fraction or "0") * scale, 10 ** len(fraction))
        if rest or (int(piece[1]) * scale + part) % 1_000:
            raise wrong(
                f"{piece[0]} is finer than a microsecond", "bad_duration", "a microsecond is the least step", at
            )
        nanos += int(piece[1]) * scale + part
        at = piece.end()
    if not text:
        raise wrong("the duration is missing", "bad_duration", _SHAPE)
    return _bounded(nanos // 1_000, wrong, least)


def parse_every(text: str, *, pointer: str = "/every", least: int = LEAST_PERIOD) -> int:
    """Return the microseconds of an interval: `90s`, `1h30m`, or ISO 8601 with hours, minutes and seconds (`PT90S`).

    A date part (`P1D`) is refused: it is calendar time, which `repeat` does. Raises as `parse_elapsed`.
    """
    if not text.upper().startswith("P"):
        return parse_elapsed(text, pointer=pointer, least=least)
    duration = parse_iso(text, pointer=pointer)
    if duration.months or duration.days:
        hint = f"calendar time is a repeat: R/<start>/{text.upper()}; elapsed time is PT24H or 1d"
        raise problem(f"{text!r} has a date part", "date_part", field="every", token=text, hint=hint, pointer=pointer)

    def wrong(what: str, rule: str, hint: str) -> InvalidValue:
        return problem(what, rule, field="every", token=text, hint=hint, pointer=pointer)

    return _bounded(duration.elapsed, wrong, least)


def parse_iso(text: str, *, position: int = 0, pointer: str = "/repeat") -> Duration:
    """Return an ISO 8601 duration; only its last number may have a fraction, and only one of hours or less."""
    found = _ISO.fullmatch(text.upper())
    values = [] if found is None else [v for v in (*found.groups()[:4], *found.groups()[5:]) if v is not None]
    whole = all(v.isdigit() for v in values[:-1])
    dated = found is not None and found[5] is None
    if found is None or not values or found[5] == "T" or not whole or (dated and not values[-1].isdigit()):
        hint = "write P1M, P1DT12H or PT90S; only the last of hours, minutes and seconds takes a fraction"
        raise problem(
            f"{text!r} is not a duration", "bad_duration", field="duration", token=text, position=position,
            hint=hint, pointer=pointer,
        )  # fmt: skip
    years, months, weeks, days = (int(v or 0) for v in found.groups()[:4])
    clock_parts = zip(found.groups()[5:], _MICROS, strict=True)
    elapsed = sum(_micros(v, scale) for v, scale in clock_parts if v is not None)
    return Duration(years * 12 + months, weeks * 7 + days, elapsed)


def _micros(number: str, scale: int) -> int:
    whole, _, fraction = number.replace(",", ".").partition(".")
    # Six digits of an hour or a minute are whole microseconds as well: 10^6 divides 3600 and 60 seconds of them.
    return int(whole) * scale + int(fraction.ljust(6, "0")) * scale // 1_000_000


def _bounded(micros: int, wrong: _Wrong, least: int) -> int:
    if micros < least:
        hint = f"the least interval is {least / SECOND:g} s"
        raise wrong("the interval is too short", "too_short", hint)
    if micros > LONGEST_PERIOD:
        raise wrong("the interval is too long", "too_long", "an interval is at most 100 years")
    return micros
