"""ISO 8601 repeats, `R5/2026-01-31T09:00/P1M`: calendar time counted from a start, so that it never drifts."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final

from angelica.clock import DAY, SECOND
from angelica.domain.cron.days import month_length
from angelica.domain.cron.duration import LEAST_PERIOD, LONGEST_PERIOD, Duration, parse_iso
from angelica.domain.cron.problem import problem
from angelica.domain.cron.zones import EPOCH, EPOCH_DAY, HORIZON, Zone, find_zone
from angelica.errors import InvalidValue

_POINTER: Final = "/repeat"
_LONGEST: Final = 512
_COUNT: Final = re.compile(r"R(-1|[0-9]{1,9})?", re.IGNORECASE)
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.IGNORECASE,
)
_NEVER: Final = HORIZON * SECOND
_LAST_DAY: Final = HORIZON // 86_400 + EPOCH_DAY
_SHORTEST_MONTH: Final = 28 * DAY
_LONGEST_MONTH: Final = 31 * DAY
_SLACK: Final = 6 * DAY  # more than offsets, gaps and a clamped month can add to or take from an estimate


@dataclass(frozen=True, slots=True)
class Repeat:
    """Fires `count` times (None: without end), the first at `start`.

    Fire k is `local` (microseconds on the clocks of `zone` since 1970-01-01 00:00) plus k times the months (a day that
    the month lacks becomes its last) plus k times the days, read on those clocks, plus k times `elapsed` microseconds.
    """

    count: int | None
    start: int
    local: int
    step: Duration
    zone: Zone
    normal: str = field(default="", compare=False)

    def fire(self, k: int) -> int:
        """Return fire number `k` (from 0) in microseconds since the epoch, or the end of the calendar."""
        step = self.step
        if k == 0 or not (step.months or step.days):
            return min(self.start + k * step.elapsed, _NEVER)
        day, time = divmod(self.local, DAY)
        ordinal = _add_months(day + EPOCH_DAY, k * step.months) + k * step.days
        if ordinal >= _LAST_DAY:
            return _NEVER
        local = (ordinal - EPOCH_DAY) * DAY + time
        second = self.zone.instant(local // SECOND)
        if second is None:
            return _NEVER
        # A time inside a gap is moved to its end, which is a whole second: the fraction goes with it.
        moved = second + _offset(self.zone, second) != local // SECOND
        return min(second * SECOND + (0 if moved else local % SECOND) + k * step.elapsed, _NEVER)

    def next_after(self, moment: int) -> int | None:
        """Return the first fire after `moment`."""
        low, high = self._around(moment)
        k = bisect_right(range(high), moment, lo=low, key=self.fire)
        if self.count is not None and k >= self.count:
            return None
        found = self.fire(k)
        return found if found < _NEVER else None

    def previous_before(self, moment: int) -> int | None:
        """Return the last fire before `moment`."""
        low, high = self._around(moment)
        k = bisect_left(range(high), min(moment, _NEVER), lo=low, key=self.fire) - 1
        if self.count is not None:
            k = min(k, self.count - 1)
        return self.fire(k) if k >= 0 else None

    def _around(self, moment: int) -> tuple[int, int]:
        """Return bounds: fires before number `low` are before `moment`, those from `high` on are after it."""
        step = self.step
        apart = min(moment, _NEVER) - self.start
        longest = step.months * _LONGEST_MONTH + step.days * DAY + step.elapsed
        shortest = step.months * _SHORTEST_MONTH + step.days * DAY + step.elapsed
        return max((apart - _SLACK) // longest, 0), max((apart + _SLACK) // shortest + 2, 1)


def parse_repeat(text: str, *, timezone: str | None = None, least: int = LEAST_PERIOD) -> Repeat:
    """Return the repeat that `R[n]/start/duration` or `R[n]/start/end` means.

    n fires in all, the first at the start; `R` and `R-1` are endless. A start without an offset is on the clocks of
    `timezone` (default UTC): in a gap the end of the gap, shown twice the first. With an end the period is the elapsed
    time between the two. `least` (microseconds) bounds it. Raises `InvalidValue` at `/repeat` or `/timezone`.
    """
    if not isinstance(text, str):
        raise problem("a repeat is a text", "bad_type", field="repeat", pointer=_POINTER)
    if not text.isascii() or len(text) > _LONGEST:
        raise problem(
            "a repeat is ASCII text of at most 512 characters", "bad_repeat", field="repeat", pointer=_POINTER
        )
    return _parse(text, find_zone("UTC" if timezone is None else timezone), least)


@lru_cache(maxsize=1024)
def _parse(text: str, zone: Zone, least: int) -> Repeat:
    parts = text.strip().split("/")
    if len(parts) != 3:  # noqa: PLR2004
        raise _wrong("a repeat has three parts", "bad_repeat", text, 0, "write R[n]/start/duration or R[n]/start/end")
    offset = len(text) - len(text.lstrip())
    places = (offset, offset + len(parts[0]) + 1, offset + len(parts[0]) + len(parts[1]) + 2)
    count = _count(parts[0], places[0])
    local, start = _moment(parts[1], places[1], zone)
    if parts[2].upper().startswith("P"):
        step = parse_iso(parts[2], position=places[2])
    else:
        step = Duration(elapsed=_moment(parts[2], places[2], zone)[1] - start)
        if step.elapsed <= 0:
            raise _wrong("the end is not after the start", "bad_repeat", parts[2], places[2], "")
    total = step.months * _LONGEST_MONTH + step.days * DAY + step.elapsed
    if total < least:
        hint = f"the least interval is {least / SECOND:g} s"
        raise _wrong("the interval is too short", "too_short", parts[2], places[2], hint)
    if total > LONGEST_PERIOD + _LONGEST_MONTH * 12:
        raise _wrong("the interval is too long", "too_long", parts[2], places[2], "an interval is at most 100 years")
    return Repeat(count, start, local, step, zone, text.strip().upper())


def _count(text: str, position: int) -> int | None:
    found = _COUNT.fullmatch(text)
    if found is None:
        raise _wrong(f"{text!r} is not a count", "bad_repeat", text, position, "R5 fires 5 times, R without end")
    if found[1] is None or found[1] == "-1":
        return None
    if int(found[1]) == 0:
        raise _wrong("R0 never fires", "bad_repeat", text, position, "R5 fires 5 times, R without end")
    return int(found[1])


def _moment(text: str, position: int, zone: Zone) -> tuple[int, int]:
    """Return a moment as the clocks of `zone` show it, and as the instant that it is (both microseconds)."""
    hint = "a moment is like 2026-01-31T09:00, 2026-01-31T09:00:00Z or 2026-01-31T09:00+08:00"
    if not _MOMENT.fullmatch(text):
        raise _wrong(f"{text!r} is not a moment", "bad_moment", text, position, hint)
    try:
        when = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise _wrong(f"{text!r} is not a moment: {error}", "bad_moment", text, position, hint) from None
    written = (when.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // timedelta(microseconds=1)
    shift = when.utcoffset()
    if shift is not None:
        instant = written - shift // timedelta(microseconds=1)
        local = instant + _offset(zone, instant // SECOND) * SECOND
    else:
        second = zone.instant(written // SECOND)
        if second is None:
            raise _wrong(f"{text!r} is outside the calendar", "bad_moment", text, position, hint)
        moved = second + _offset(zone, second) != written // SECOND
        instant, local = second * SECOND + (0 if moved else written % SECOND), written
    if not 0 <= instant < _NEVER:
        raise _wrong(f"{text!r} is outside the calendar", "bad_moment", text, position, "years are 1970 to 9998")
    return local, instant


def _offset(zone: Zone, second: int) -> int:
    segment = zone.segment(second)
    return 0 if segment is None else segment.offset


def _add_months(ordinal: int, months: int) -> int:
    """Return the day `months` later, the last of the month where the month lacks it."""
    if not months:
        return ordinal
    when = date.fromordinal(ordinal)
    year, month = divmod(when.year * 12 + when.month - 1 + months, 12)
    if year > 9998:  # noqa: PLR2004
        return _LAST_DAY
    return date(year, month + 1, min(when.day, month_length(year, month + 1))).toordinal()


def _wrong(what: str, rule: str, token: str, position: int, hint: str) -> InvalidValue:
    return problem(what, rule, field="repeat", token=token, position=position, hint=hint, pointer=_POINTER)
