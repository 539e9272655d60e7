"""Forecasts: when a definition fires, in words and moments, before it is stored and after; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from angelica.clock import SECOND
from angelica.domain.cron.caution import warnings_for
from angelica.domain.cron.words import Words, describe
from angelica.domain.cron.zones import HORIZON
from angelica.domain.retry import delay
from angelica.domain.schedule import CatchUp, Overlap, RunSpec, Schedule
from angelica.domain.trigger import anchor_of, evaluator, is_delay, occurrences
from angelica.durations import format_duration
from angelica.errors import InvalidValue
from angelica.runtime import fields
from angelica.runtime.definition import trigger_from
from angelica.runtime.schedule_drafts import ScheduleDraft, read_schedule

PREVIEWED: Final = 10
MAX_PREVIEWED: Final = 1_000
MAX_REHEARSED: Final = 10_000
MAX_RETRIES_LOOKED_AT: Final = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """The next fires (microseconds since the epoch), what the trigger means, and what its author should know."""

    times: tuple[int, ...]
    words: Words
    warnings: tuple[Words, ...]
    schedule: Schedule
    """As it would be stored; its zone and trigger say how to show the times."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """When a definition would have fired and will fire.

    `typical_run` (microseconds) is the median of what the function's latest runs took, None if it has none; `overlaps`
    counts the fires that would have come while such a run was unfinished. `truncated`: there are more.
    """

    past: tuple[int, ...]
    future: tuple[int, ...]
    words: Words
    warnings: tuple[Words, ...]
    typical_run: int | None = None
    overlaps: int = 0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many fires fall into [`start`, `start` + the calendar's `step`), and of which schedules the most."""

    start: int
    count: int
    schedules: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """Fires to come by stretches of time (`step` microseconds); `truncated`: not every schedule or fire is in it."""

    start: int
    end: int
    step: int
    buckets: tuple[Bucket, ...]
    schedules: int
    truncated: bool = False


def provisional(draft: ScheduleDraft, wall: int, run: RunSpec | None = None) -> Schedule:
    """Return the schedule that a draft would make at `wall`, without asking whether its function exists."""
    made = Schedule(
        draft.id or "preview",
        trigger_from(draft, wall),
        run or RunSpec(draft.name),
        draft.rules,
        anchor=anchor_of(draft.rules, wall),
        created_at=wall,
    )
    return replace(made, next_fire_at=_first(made, wall))


def _first(schedule: Schedule, wall: int) -> int | None:
    if is_delay(schedule):
        return max(wall, schedule.rules.start_at or 0) + (schedule.trigger.every or 0)
    found = occurrences(schedule, wall + 1, HORIZON * SECOND, 1)
    return found[0] if found else None


def preview(given: Mapping[str, Any], wall: int) -> Preview:
    """Return the forecast of a definition that may lack a name; `count` (10) is how many fires to show.

    `after` (a moment) shows those after it. Raises `InvalidValue` as a definition does; one without a fire to come
    has no times.
    """
    count = _read(given, "count", fields.integer(1, MAX_PREVIEWED), PREVIEWED)
    after = _read(given, "after", fields.moment, wall)
    form = {key: value for key, value in given.items() if key not in ("count", "after")}
    draft = read_schedule({"name": "preview", **form})
    schedule = provisional(draft, wall)
    times = _upcoming(schedule, max(after, wall) if is_delay(schedule) else after, count)
    return Preview(tuple(times), describe(evaluator(schedule)), cautions(schedule), schedule)


def _read(given: Mapping[str, Any], key: str, reader: Any, default: int) -> int:
    if given.get(key) is None:
        return default
    try:
        return int(reader(given[key]))
    except ValueError as error:
        raise InvalidValue(f"/{key}", str(error)) from None


def _upcoming(schedule: Schedule, after: int, count: int) -> list[int]:
    limit = count if schedule.rules.max_runs is None else min(count, schedule.rules.max_runs)
    return occurrences(schedule, after + 1, HORIZON * SECOND, limit)


def rehearse(schedule: Schedule, *, wall: int, past: int, future: int, typical_run: int | None) -> Rehearsal:
    """Return the fires from `past` before `wall` to `future` after it, as if the schedule had always been there."""
    period = schedule.trigger.every
    if period is not None and schedule.rules.start_at is None:
        schedule = replace(schedule, anchor=wall - (past // period + 1) * period)
    before = occurrences(schedule, wall - past, wall, MAX_REHEARSED + 1)
    after = occurrences(schedule, wall, wall + future, MAX_REHEARSED + 1)
    overlaps = 0 if typical_run is None else _overlaps([*before, *after], typical_run)
    return Rehearsal(
        tuple(before[:MAX_REHEARSED]),
        tuple(after[:MAX_REHEARSED]),
        describe(evaluator(schedule)),
        cautions(schedule),
        typical_run,
        overlaps,
        truncated=len(before) > MAX_REHEARSED or len(after) > MAX_REHEARSED,
    )


def _overlaps(times: Sequence[int], run: int) -> int:
    count, busy_until = 0, 0
    for time in times:
        if time < busy_until:
            count += 1
        else:
            busy_until = time + run
    return count


def calendar(schedules: Sequence[Schedule], start: int, end: int, *, step: int, limit: int) -> Calendar:
    """Count the fires of `schedules` in [start, end) by `step`; at most `limit` fires of each are counted."""
    tallies: dict[int, Counter[str]] = {}
    truncated = False
    for schedule in schedules:
        if schedule.next_fire_at is None:
            continue
        times = occurrences(schedule, max(start, schedule.next_fire_at), end, limit + 1)
        truncated |= len(times) > limit
        for time in times[:limit]:
            tallies.setdefault((time - start) // step, Counter())[schedule.id] += 1
    buckets = [
        Bucket(start + place * step, tally.total(), tuple(tally.most_common(5)))
        for place, tally in sorted(tallies.items())
    ]
    return Calendar(start, end, step, tuple(buckets), len(schedules), truncated)


def cautions(schedule: Schedule) -> tuple[Words, ...]:
    """Return what the author should know: about the trigger, and about policies that work against each other."""
    trigger = evaluator(schedule)
    return (*warnings_for(trigger), *_against_each_other(schedule), *_retries_beyond(schedule))


def _against_each_other(schedule: Schedule) -> list[Words]:
    rules = schedule.rules
    if rules.catch_up is not CatchUp.ALL or rules.overlap is not Overlap.SKIP:
        return []
    en = "Catch-up is all and overlap is skip: of several missed fires one runs; queue_all runs each of them."
    zh = "补跑策略为 all 而重叠策略为 skip:错过的多次触发只会运行一次;queue_all 会逐一运行。"
    return [Words("all_with_skip", {"catch_up": "all", "overlap": "skip"}, en, zh)]


def _retries_beyond(schedule: Schedule) -> list[Words]:
    """A run that is backing off is unfinished: with `skip`, fires that come meanwhile do not run."""
    if schedule.rules.overlap is not Overlap.SKIP or is_delay(schedule) or schedule.next_fire_at is None:
        return []
    period = _shortest_gap(schedule)
    policy = schedule.run.policy
    waits = [delay(policy.backoff, n, chance=0.5) for n in range(min(policy.retries, MAX_RETRIES_LOOKED_AT))]
    total = int(sum(waits) * SECOND)
    if period is None or total <= period:
        return []
    spent, gap = format_duration(total // SECOND * SECOND), format_duration(period)
    params = {"retrying": total, "period": period}
    en = f"Retries can take {spent}, longer than the {gap} between two fires: fires that come meanwhile are skipped."
    zh = f"重试最长可达 {spent},超过两次触发的间隔 {gap}:期间的触发将被跳过。"
    return [Words("retries_beyond_period", params, en, zh)]


def _shortest_gap(schedule: Schedule) -> int | None:
    first = schedule.next_fire_at
    times = [] if first is None else occurrences(schedule, first, HORIZON * SECOND, 4)
    return min((later - time for time, later in pairwise(times)), default=None)
