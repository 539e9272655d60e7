"""Time zones as stretches of constant offset: inside one local time is plain addition, a change is an edge."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from angelica.domain.cron.problem import problem
from angelica.errors import InvalidValue

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
DAY_SECONDS: Final = 86_400
HORIZON: Final = (date(9999, 1, 1).toordinal() - EPOCH_DAY) * DAY_SECONDS
"""The end of the calendar, in seconds since the epoch: there are no fires from here on, nor before the epoch."""

# Since 1967 no two changes of a zone were less than 6.9 days apart (a test checks every zone), so none hides in here.
_SAMPLE: Final = 3 * DAY_SECONDS
_LEAD: Final = 3 * DAY_SECONDS

_OFFSET: Final = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})")
_LONGEST: Final = 64
_FURTHEST: Final = 18 * 60
_ABBREVIATIONS: Final = {
    "CET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "EST": "America/Panama",
    "HST": "Pacific/Honolulu",
    "MET": "Europe/Brussels",
    "MST": "America/Phoenix",
    "WET": "Europe/Lisbon",
}
_NOT_ZONES: Final = ("right/", "posix/", "localtime", "posixrules", "Factory")


class Segment(NamedTuple):
    """A stretch of time with one offset, in seconds since the epoch; `end` is exclusive.

    `fresh` is the first local second that no earlier stretch has shown. Above `start + offset` it says that the
    clocks went back and local time repeats up to there; below, that they went forward and skipped what lies between.
    """

    start: int
    end: int
    offset: int
    fresh: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A named zone. `constant` is its offset in seconds where it never changes."""

    name: str
    tz: tzinfo = field(compare=False, repr=False)
    constant: int | None = field(default=None, compare=False, repr=False)

    def segment(self, moment: int) -> Segment | None:
        """Return the segment that holds `moment` (seconds since the epoch), or None outside the calendar.

        Segments are also cut at each new year (UTC), where nothing need change.
        """
        if not 0 <= moment < HORIZON:
            return None
        if self.constant is not None:
            return Segment(0, HORIZON, self.constant, self.constant)
        for segment in _year_segments(self, date.fromordinal(moment // DAY_SECONDS + EPOCH_DAY).year):
            if moment < segment.end:
                return segment
        return None

    def offset(self, moment: int) -> int:
        """Return the offset from UTC in seconds at `moment` (seconds since the epoch)."""
        shift = (EPOCH + timedelta(seconds=moment)).astimezone(self.tz).utcoffset() or timedelta(0)
        return shift.days * DAY_SECONDS + shift.seconds

    def instant(self, local: int) -> int | None:
        """Return the moment at which the clocks of the zone show `local`, or None outside the calendar.

        `local` is seconds since 1970-01-01 00:00 on those clocks. Shown twice: the first; skipped: the first moment
        after the gap.
        """
        segment = self.segment(max(local - DAY_SECONDS, 0))
        if segment is None or local < segment.start + segment.offset:
            return None
        while segment is not None:
            if local < segment.end + segment.offset:
                return max(local - segment.offset, segment.start)
            segment = self.segment(segment.end)
        return None


@lru_cache(maxsize=8192)
def _year_segments(zone: Zone, year: int) -> tuple[Segment, ...]:
    begin = (date(year, 1, 1).toordinal() - EPOCH_DAY) * DAY_SECONDS
    end = (date(year + 1, 1, 1).toordinal() - EPOCH_DAY) * DAY_SECONDS
    changes = _changes(zone, begin - _LEAD, end)
    segments: list[Segment] = []
    fresh = changes[0][0] + changes[0][1]
    for (start, offset), following in zip(changes, [*changes[1:], (end, 0)], strict=True):
        if start < begin:  # it began in the year before: no edge here, but local time may still be repeating
            seen = max(fresh, begin + offset)
            segments = [Segment(begin, following[0], offset, seen)] if following[0] > begin else []
        else:
            segments.append(Segment(start, following[0], offset, fresh))
        fresh = max(fresh, following[0] + offset)
    return tuple(segments)


def _changes(zone: Zone, begin: int, end: int) -> list[tuple[int, int]]:
    """Return (first moment, offset) of each stretch in [begin, end), the first cut at `begin`."""
    offset = zone.offset(begin)
    found = [(begin, offset)]
    at = begin
    while at < end:
        ahead = min(at + _SAMPLE, end - 1)
        if ahead == at:
            break
        if zone.offset(ahead) == offset:
            at = ahead
            continue
        low, high = at, ahead
        while high - low > 1:
            middle = (low + high) // 2
            if zone.offset(middle) == offset:
                low = middle
            else:
                high = middle
        at, offset = high, zone.offset(high)
        found.append((at, offset))
    return found


def find_zone(name: str, *, pointer: str = "/timezone", position: int = 0) -> Zone:
    """Return the zone called `name`: an IANA name, `UTC`, or a fixed offset such as `+05:30`.

    Raises `InvalidValue` at `pointer` with rule `unknown_zone`. Abbreviations (`EST`, `CET`) are refused: several
    places share one, and most of them ignore summer time.
    """
    zone = _find(name) if len(name) <= _LONGEST else None
    if zone is None:
        raise _unknown(name, pointer, position)
    return zone


@lru_cache(maxsize=1024)
def _find(name: str) -> Zone | None:
    if name in {"UTC", "Z"}:
        return Zone("UTC", UTC, 0)
    if found := _OFFSET.fullmatch(name):
        minutes = int(found[2]) * 60 + int(found[3])
        if minutes > _FURTHEST or int(found[3]) >= 60:  # noqa: PLR2004
            return None
        shift = minutes if found[1] == "+" else -minutes
        return Zone(f"{found[1]}{found[2]}:{found[3]}", timezone(timedelta(minutes=shift)), shift * 60)
    if not name or not name.isascii() or name in _ABBREVIATIONS or name.startswith(_NOT_ZONES):
        return None
    try:
        # ZoneInfoNotFoundError is a KeyError; a key that leaves the directory is a ValueError, a directory an OSError.
        return Zone(name, ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return None


def _unknown(name: str, pointer: str, position: int) -> InvalidValue:
    shown = name[:_LONGEST]
    if name in _ABBREVIATIONS:
        hint = f"abbreviations name no place; use {_ABBREVIATIONS[name]} or an offset such as +01:00"
        return problem(
            f"{shown!r} is an abbreviation", "unknown_zone", field="timezone", token=shown, position=position,
            hint=hint, pointer=pointer,
        )  # fmt: skip
    near = _near(shown)
    hint = f"did you mean {near}?" if near else "use an IANA name such as Asia/Shanghai, or an offset such as +08:00"
    return problem(
        f"no time zone is called {shown!r}", "unknown_zone", field="timezone", token=shown, position=position,
        hint=hint, pointer=pointer,
    )  # fmt: skip


def _near(name: str) -> str:
    folded = _folded_names()
    wanted = name.casefold().replace(" ", "_")
    if wanted in folded:
        return folded[wanted]
    close = get_close_matches(wanted, folded, n=1, cutoff=0.75)
    return folded[close[0]] if close else ""


@lru_cache(maxsize=1)
def _folded_names() -> dict[str, str]:
    names = {name.casefold(): name for name in available_timezones() if name not in _ABBREVIATIONS}
    cities = {name.rpartition("/")[2].casefold(): name for name in sorted(available_timezones()) if "/" in name}
    return cities | names
