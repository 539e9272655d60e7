"""Limits: how many may run at once and how often they may begin, as values and pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from angelica.clock import DAY, HOUR, MINUTE, SECOND, Now

MOST: Final = 1_000_000_000
"""The greatest number that a limit can be."""
PARTS: Final = 100
_SEEN: Final = PARTS + 1
_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_RATE: Final = re.compile(r"([1-9][0-9]{0,9})/([1-9][0-9]{0,4})?([smhd])")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `period` (microseconds)."""

    count: int
    period: int

    @property
    def width(self) -> int:
        """How long each of the hundred parts of the period is."""
        return max(-(-self.period // PARTS), 1)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What holds for one queue, function or key: None means that nothing is limited.

    `paused`, `max_depth`, `ageing` (microseconds for one step of priority) and `fair` (the header that names the
    tenants between whom it is shared evenly) are for queues only.
    """

    max_running: int | None = None
    rate: Rate | None = None
    paused: bool = False
    max_depth: int | None = None
    ageing: int | None = None
    fair: str | None = None

    @property
    def gates(self) -> bool:
        """Whether a claim has to ask."""
        return self.paused or self.max_running is not None or self.rate is not None


@dataclass(frozen=True, slots=True)
class Bucket:
    """The counter of a rate: how many began in which part, as (number of the part, count) in order of time.

    A part is `width` microseconds of the wall clock. Those of two periods are kept, in case the clock is set back.
    """

    width: int = 0
    counts: tuple[tuple[int, int], ...] = ()


NO_LIMITS: Final = LimitSettings()
EMPTY: Final = Bucket()


def allowance(settings: LimitSettings, bucket: Bucket, *, running: int, wanted: int, now: Now) -> int:
    """Return how many of `wanted` may begin at `now` while `running` do.

    A period touches at most 101 parts: as long as these together stay within the rate, no period goes beyond it.
    """
    if settings.paused:
        return 0
    free = wanted
    if settings.max_running is not None:
        free = min(free, settings.max_running - running)
    if settings.rate is not None:
        free = min(free, settings.rate.count - _used(fit(bucket, settings.rate, now=now), now))
    return max(free, 0)


def charge(bucket: Bucket, rate: Rate, count: int, *, now: Now) -> Bucket:
    """Return the counter after `count` have begun at `now`."""
    bucket = fit(bucket, rate, now=now)
    part = now.wall // bucket.width
    counts = dict(bucket.counts)
    counts[part] = counts.get(part, 0) + count
    oldest = max(counts) - 2 * _SEEN
    return Bucket(bucket.width, tuple(sorted((place, n) for place, n in counts.items() if n and place >= oldest)))


def refund(bucket: Bucket, at: int) -> Bucket:
    """Return the counter after one that began at the moment `at` was handed back unharmed."""
    if not bucket.width:
        return bucket
    part = at // bucket.width
    counts = tuple((place, n - (place == part)) for place, n in bucket.counts)
    return Bucket(bucket.width, tuple((place, n) for place, n in counts if n > 0))


def frees_at(settings: LimitSettings, bucket: Bucket, *, now: Now) -> int | None:
    """Return when the rate allows the next one: None if it does now, or if there is none."""
    rate = settings.rate
    if rate is None:
        return None
    bucket = fit(bucket, rate, now=now)
    over = _used(bucket, now) - rate.count
    if over < 0:
        return None
    for place, n in bucket.counts:
        if place >= now.wall // bucket.width - PARTS:
            over -= n
            if over < 0:
                return (place + _SEEN) * bucket.width
    return None


def fit(bucket: Bucket, rate: Rate, *, now: Now) -> Bucket:
    """Return the counter in parts of this rate. What cannot be known exactly is taken to be later than it was.

    Where the clock has been set back by more than a period, what lies ahead of it counts as if it were now: else
    nothing could begin until the clock is there again.
    """
    width = rate.width
    ahead = now.wall // width + _SEEN
    if bucket.width == width and (not bucket.counts or bucket.counts[-1][0] <= ahead):
        return bucket
    counts: dict[int, int] = {}
    for place, n in bucket.counts:
        part = place if bucket.width == width else ((place + 1) * bucket.width - 1) // width
        part = part if part <= ahead else now.wall // width
        counts[part] = counts.get(part, 0) + n
    return Bucket(width, tuple(sorted(counts.items())))


def _used(bucket: Bucket, now: Now) -> int:
    first = now.wall // bucket.width - PARTS
    return sum(n for place, n in bucket.counts if place >= first)


def read_rate(text: Any) -> Rate:
    """Return the rate that a text like `100/m` names; raises `ValueError` that says what would be right."""
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[1]) > MOST:
        raise ValueError(f'must be like "100/m": a number of at most {MOST}, /, and s, m, h, d or a multiple like 30s')
    return Rate(int(match[1]), int(match[2] or 1) * _UNITS[match[3]])


def rate_text(rate: Rate) -> str:
    """Return the text that `read_rate` reads, in the largest unit that fits."""
    unit = next(unit for unit in reversed(_UNITS) if rate.period % _UNITS[unit] == 0)
    times = rate.period // _UNITS[unit]
    return f"{rate.count}/{'' if times == 1 else times}{unit}"


def settings_of(*parts: Mapping[str, Any]) -> LimitSettings:
    """Return what holds where each field is taken from the first of the stored `parts` that has it."""
    known: dict[str, Any] = {}
    for part in reversed(parts):
        known.update({name: value for name, value in part.items() if value is not None})
    rate = known.get("rate")
    return LimitSettings(
        max_running=known.get("max_running"),
        rate=None if rate is None else read_rate(rate),
        paused=bool(known.get("paused", False)),
        max_depth=known.get("max_depth"),
        ageing=known.get("ageing"),
        fair=known.get("fair") or None,  # "" is an operator's word that nobody shares it, whatever is declared
    )
