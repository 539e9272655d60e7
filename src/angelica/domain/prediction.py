"""When a waiting task will start: an interval, from its place in the line and from how fast the line has moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, pvariance
from typing import Final

from angelica.clock import MINUTE, SECOND, Now
from angelica.domain.reasons import Start, Why
from angelica.durations import format_moment

LOOKED_BACK: Final = 5 * MINUTE
"""How far back ends say how fast a line moves."""
ENOUGH: Final = 5
"""So many ends say how fast a line moves; of fewer, chance would say it."""
PICK_UP: Final = SECOND
"""Within this a task begins for which there is a free slot, whoever's wake-up was lost."""
_Z: Final = 1.2816
"""How many deviations the tenth and the ninetieth percentile of a normal distribution are from its middle."""


@dataclass(frozen=True, slots=True)
class Line:
    """The line that a task stands in.

    `ahead` are those before it, `slots` what serves the line when all of it is busy and `free` what is idle now.
    `run_times` (microseconds) and `ends` (moments) are those of the latest that ended there. `since` is when the line
    was known to be busy: when the task itself became ready. `not_before` is a moment before which it does not start.
    """

    ahead: int
    slots: int
    free: int
    run_times: Sequence[int] = ()
    ends: Sequence[int] = ()
    since: int = 0
    not_before: int = 0


def predict(line: Line, now: Now) -> Start | None:
    """Return when the task will start if the line goes on as it has, None if nothing is known that says so.

    The wait for as many ends as it needs is taken to be gamma distributed, whose mean comes from what ended since the
    task waits (there the line was busy all the time, with whatever holds it back), or else from the slots and the run
    times; its variance from that of the run times, and from how few of them were seen.
    """
    if line.slots <= 0:
        return None
    needed = line.ahead + 1 - line.free
    if needed <= 0:
        return _moments(line, now, (0, 0, PICK_UP))
    moved = _moved(line, now)
    if moved is None and not line.run_times:
        return None
    mean, spread = _run_times(line.run_times)
    if moved is not None:
        count, elapsed = moved
        wait = needed * elapsed / count
        doubt = max(spread, 1.0) / count
    else:
        wait = needed * mean / line.slots
        doubt = spread / len(line.run_times)
    # Where all take equally long, how far those are that run now is still unknown.
    phase = mean * mean / (6 * line.slots)
    variance = wait * wait * (spread / needed + doubt) + phase
    return _moments(line, now, _gamma(wait, variance))


def _moved(line: Line, now: Now) -> tuple[int, int] | None:
    """Return how many ended in how long, while the line was busy."""
    if not line.ends:
        return None
    since = max(line.since, now.wall - LOOKED_BACK, min(line.ends))
    count = sum(since < end <= now.wall for end in line.ends)
    return (count, now.wall - since) if count >= ENOUGH and since < now.wall else None


def _run_times(found: Sequence[int]) -> tuple[float, float]:
    """Return the mean, and the variance as a share of its square."""
    if not found:
        return 0.0, 1.0
    mean = max(fmean(found), 1.0)
    return mean, pvariance(found) / (mean * mean) if len(found) > 1 else 1.0


def _gamma(mean: float, variance: float) -> tuple[int, int, int]:
    """Return percentiles 10, 50 and 90 of a gamma distribution (Wilson and Hilferty's approximation)."""
    if variance <= 0:
        return int(mean), int(mean), int(mean)
    shape = mean * mean / variance
    low, middle, high = (mean * max(1 - 1 / (9 * shape) + z / (3 * sqrt(shape)), 0.0) ** 3 for z in (-_Z, 0.0, _Z))
    return int(low), int(middle), int(high)


def _moments(line: Line, now: Now, waits: tuple[int, int, int]) -> Start:
    return Start(*(max(now.wall + wait, line.not_before) for wait in waits))


def shown(why: Why) -> str:
    """Return the reason in words, with what is known of the start: what every surface says."""
    if why.start is None:
        return why.text
    low, high = format_moment(why.start.p10), format_moment(why.start.p90)
    if low == high:
        return f"{why.text} It should start at {low}."
    return f"{why.text} It should start at about {format_moment(why.start.p50)}, between {low} and {high}."
