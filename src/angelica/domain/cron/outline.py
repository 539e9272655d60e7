"""What a cron expression says, as codes and numbers that words can be put to in any language."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from angelica.domain.cron.expression import Cron
from angelica.domain.cron.fields import HOUR, MINUTE, MONTH, SECOND, YEAR, Field, bits

MOST_TIMES: Final = 6
"""So many times of day are listed one by one; more are put as a rule."""

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """The values of one of second, minute and hour: `all`, a `step` from `first` (0 = no step), else as runs."""

    all: bool
    first: int
    step: int
    runs: Runs

    @property
    def single(self) -> bool:
        """Whether it is one value."""
        return len(self.runs) == 1 and self.runs[0][0] == self.runs[0][1]


@dataclass(frozen=True, slots=True)
class Outline:
    """The parts of an expression.

    `times` are the seconds of the day where they are few, else empty. Day parts are runs of values, (a, b) with both
    ends: `days` 1-31, `weekdays` 0-6; `back` counts from the last day, `nearest` and `nearest_back` are weekdays near
    those; `nth` holds (n, weekday), `last` weekdays. `either` joins the two day fields by "or". Runs that are empty
    do not restrict.
    """

    times: tuple[int, ...]
    second: Pace
    minute: Pace
    hour: Pace
    days: Runs
    nearest: tuple[int, ...]
    back: tuple[int, ...]
    nearest_back: tuple[int, ...]
    weekdays: Runs
    nth: tuple[tuple[int, int], ...]
    last: tuple[int, ...]
    either: bool
    months: Runs
    years: Runs

    @property
    def any_day(self) -> bool:
        """Whether every day of its months and years matches."""
        return not (self.in_month or self.in_week)

    @property
    def in_month(self) -> bool:
        """Whether the day of month restricts."""
        return bool(self.days or self.nearest or self.back or self.nearest_back)

    @property
    def in_week(self) -> bool:
        """Whether the day of week restricts."""
        return bool(self.weekdays or self.nth or self.last)

    @property
    def code(self) -> str:
        """What kind of sentence describes it, such as `at.daily` or `every.weekly`."""
        time = "at" if self.times else "every"
        if self.years:
            return f"{time}.years"
        if self.months:
            return f"{time}.yearly"
        if self.in_month:
            return f"{time}.monthly"
        return f"{time}.weekly" if self.in_week else f"{time}.daily"


def outline(cron: Cron) -> Outline:
    """Return the parts of `cron`."""
    month, week = cron.days.month, cron.days.week
    open_day = not cron.days.both and (month.every or week.every)  # either may match, and one always does
    open_month = month.every or open_day
    open_week = week.every or open_day
    return Outline(
        times=_times(cron),
        second=_pace(SECOND, cron.seconds),
        minute=_pace(MINUTE, cron.minutes),
        hour=_pace(HOUR, cron.hours),
        days=() if open_month else _runs(month.plain),
        nearest=() if open_month else tuple(bits(month.nearest)),
        back=() if open_month else tuple(bits(month.last)),
        nearest_back=() if open_month else tuple(bits(month.last_nearest)),
        weekdays=() if open_week else _week_runs(week.plain),
        nth=() if open_week else tuple((n + 1, day) for n, mask in enumerate(week.nth) for day in bits(mask)),
        last=() if open_week else tuple(bits(week.last)),
        either=not cron.days.both and not open_day,
        months=() if cron.months == MONTH.full else _runs(cron.months),
        years=() if cron.years is None else tuple((a + YEAR.low, b + YEAR.low) for a, b in _runs(cron.years)),
    )


def to_params(plan: Outline) -> dict[str, Any]:
    """Return the parts that say something, as JSON values."""
    params: dict[str, Any] = {}
    if plan.times:
        params["times"] = [clock(time) for time in plan.times]
    else:
        for name, pace in (("second", plan.second), ("minute", plan.minute), ("hour", plan.hour)):
            params[name] = {"step": pace.step, "first": pace.first} if pace.step else _pairs(pace.runs)
    for name in ("days", "weekdays", "months", "years", "nth"):
        if pairs := getattr(plan, name):
            params[name] = _pairs(pairs)
    for name in ("nearest", "back", "nearest_back", "last"):
        if values := getattr(plan, name):
            params[name] = list(values)
    if plan.in_month and plan.in_week:
        params["match"] = "any" if plan.either else "all"
    return params


def clock(time: int) -> str:
    """Return a second of the day as `02:00`, or `02:00:05` where it is not on the minute."""
    hour, rest = divmod(time, 3600)
    minute, second = divmod(rest, 60)
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def rhythm_of(runs: Runs) -> bool:
    """Say whether five or more single values follow each other at one distance, so that a few stand for all."""
    singles = [a for a, b in runs if a == b]
    apart = {b - a for a, b in pairwise(singles)}
    return len(singles) == len(runs) and len(runs) > 4 and len(apart) == 1  # noqa: PLR2004


def _pairs(runs: Runs) -> list[list[int]]:
    return [list(run) for run in runs]


def _times(cron: Cron) -> tuple[int, ...]:
    count = cron.hours.bit_count() * cron.minutes.bit_count() * cron.seconds.bit_count()
    if count > MOST_TIMES or cron.hours.bit_count() == HOUR.size:
        return ()
    return tuple(
        hour * 3600 + minute * 60 + second
        for hour in bits(cron.hours)
        for minute in bits(cron.minutes)
        for second in bits(cron.seconds)
    )


def _pace(field: Field, mask: int) -> Pace:
    values = list(bits(mask))
    step = values[1] - values[0] if len(values) > 2 else 0  # noqa: PLR2004 - two values are no rhythm yet
    if step == 1 or any(b - a != step for a, b in pairwise(values)):
        step = 0
    if values[0] >= step or values[-1] + step <= field.high:
        step = 0
    # Two values half the field apart are a rhythm: every 30 minutes, every 12 hours.
    if len(values) == 2 and (values[1] - values[0]) * 2 == field.size:  # noqa: PLR2004
        step = field.size // 2
    return Pace(mask == field.full, values[0], step, _runs(mask))


def _runs(mask: int) -> Runs:
    """Return runs of consecutive bits as (first, last); two neighbours stay apart, as words put them better."""
    runs: list[tuple[int, int]] = []
    for value in bits(mask):
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return tuple(part for a, b in runs for part in (((a, a), (b, b)) if b == a + 1 else ((a, b),)))


def _week_runs(mask: int) -> Runs:
    """Return the runs of a week that begins on Monday; Sunday (0) comes last."""
    shifted = _runs(mask >> 1 | (mask & 1) << 6)
    return tuple((_weekday(a), _weekday(b)) for a, b in shifted)


def _weekday(place: int) -> int:
    return (place + 1) % 7
