"""When a schedule fires: its trigger as an evaluator, cut to its bounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Final

from angelica.clock import SECOND
from angelica.domain.cron.duration import LONGEST_PERIOD
from angelica.domain.cron.evaluate import Trigger, fires_between, next_after
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.parse import parse
from angelica.domain.cron.problem import problem
from angelica.domain.cron.repeat import parse_repeat
from angelica.domain.cron.zones import HORIZON, find_zone
from angelica.domain.schedule import Rules, Schedule, TriggerSpec

_NEVER: Final = HORIZON * SECOND


def trigger_of(spec: TriggerSpec, *, anchor: int = 0, skip_anchor: bool = False, least: int = 1) -> Trigger:
    """Return the evaluator of `spec`; `anchor` and `skip_anchor` are the grid of `every` (see `Every`).

    `least` (microseconds) bounds the interval of new definitions; what is stored was admitted once. Raises
    `InvalidValue` at the field that is wrong (`/cron`, `/every`, `/repeat`, `/timezone`, …).
    """
    if spec.cron is not None:
        trigger = parse(spec.cron, timezone=spec.timezone, dialect=spec.dialect, day_match=spec.day_match, least=least)
        return replace(trigger, anchor=anchor, skip_anchor=skip_anchor) if isinstance(trigger, Every) else trigger
    if spec.repeat is not None:
        return parse_repeat(spec.repeat, timezone=spec.timezone, least=least)
    zone = find_zone(spec.timezone or "UTC")
    if spec.at is not None:
        return Once(spec.at, zone)
    return Every(_period(spec, least), anchor, skip_anchor)


def anchor_of(rules: Rules, created_at: int) -> int:
    """Return the grid's anchor of a schedule with these rules: its start, else its creation."""
    return created_at if rules.start_at is None else rules.start_at


def evaluator(schedule: Schedule) -> Trigger:
    """Return the evaluator of a schedule; its bounds are not in it."""
    return trigger_of(schedule.trigger, anchor=schedule.anchor, skip_anchor=schedule.rules.start_at is None)


def first_fire_at(schedule: Schedule, *, now: int) -> int | None:
    """Return `next_fire_at` of a definition that is new or was edited at `now` (wall microseconds); None: no fire left.

    Strictly after now and after the last fire, so that an edit invents no past fire and repeats none. A past `at` is
    taken while it is within `grace`, or within `catchup_window` where one is set.
    """
    if is_spent(schedule):
        return None
    moment = now if schedule.last_fire_at is None else max(now, schedule.last_fire_at)
    if schedule.trigger.at is not None:
        allowance = max(schedule.rules.grace, schedule.rules.catchup_window or 0)
        oldest = now - allowance - 1
        moment = oldest if schedule.last_fire_at is None else max(oldest, schedule.last_fire_at)
    return next_fire_after(schedule, moment)


def next_fire_after(schedule: Schedule, moment: int) -> int | None:
    """Return the first fire strictly after `moment` inside [start_at, end_at), None if there is none.

    For `mode="delay"`: when it fires if its last run ended at `moment`.
    """
    rules = schedule.rules
    if is_delay(schedule):
        found: int | None = moment + (schedule.trigger.every or 0)
        if rules.start_at is not None and moment < rules.start_at:
            found = rules.start_at
    else:
        found = next_after(evaluator(schedule), moment if rules.start_at is None else max(moment, rules.start_at - 1))
    if found is None or (rules.end_at is not None and found >= rules.end_at):
        return None
    return found


def occurrences(schedule: Schedule, start: int, end: int, limit: int) -> list[int]:
    """Return up to `limit` fires in [start, end) inside the schedule's bounds, oldest first, whatever was decided.

    For `mode="delay"` only the fire that is armed: later ones depend on when runs end.
    """
    rules = schedule.rules
    if is_delay(schedule):
        armed = schedule.next_fire_at
        return [armed] if armed is not None and start <= armed < end and limit > 0 else []
    start = start if rules.start_at is None else max(start, rules.start_at)
    end = end if rules.end_at is None else min(end, rules.end_at)
    return list(islice(fires_between(evaluator(schedule), start, end), limit))


def upcoming_fires(schedule: Schedule, *, after: int, count: int) -> list[int]:
    """Return the next `count` fires after `after` that a schedule has left, from its `next_fire_at` and `max_runs`."""
    if schedule.next_fire_at is None:
        return []
    rules = schedule.rules
    start = max(after + 1, schedule.next_fire_at)
    left = count if rules.max_runs is None else min(count, rules.max_runs - schedule.runs)
    return occurrences(schedule, start, _NEVER, max(left, 0))


def is_delay(schedule: Schedule) -> bool:
    """Say whether a schedule counts its interval from the end of its last run."""
    return schedule.trigger.every is not None and schedule.trigger.mode == "delay"


def is_spent(schedule: Schedule) -> bool:
    """Say whether a schedule has had all its `max_runs`."""
    return schedule.rules.max_runs is not None and schedule.runs >= schedule.rules.max_runs


def _period(spec: TriggerSpec, least: int) -> int:
    period = spec.every
    if period is None:
        raise problem("there is no trigger", "no_trigger", hint="give one of cron, every, at, repeat")
    if not least <= period <= LONGEST_PERIOD:
        short = period < least
        hint = f"the least interval is {least / SECOND:g} s" if short else "an interval is at most 100 years"
        raise problem(
            f"the interval is too {'short' if short else 'long'}",
            "too_short" if short else "too_long",
            field="every",
            hint=hint,
            pointer="/every",
        )
    return period
