"""Schedules to test with, and an oracle that decides a backlog by walking every instant of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from angelica.clock import SECOND, Now
from angelica.domain.cron.evaluate import fires_between
from angelica.domain.schedule import MAX_QUEUED, CatchUp, Overlap, Phase, Rules, RunSpec, Schedule, TriggerSpec
from angelica.domain.schedule import SkipReason as Reason
from angelica.domain.trigger import anchor_of, evaluator, first_fire_at

START = 1_780_272_000 * SECOND  # 2026-06-01T00:00Z


def at(wall):
    return Now(wall, 0, "boot")


def micros(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000) * 1000


def schedule(trigger=None, *, created=START, id="s", run=None, **rules):
    """Return a schedule that was made at `created`, by default one that fires each minute."""
    spec = TriggerSpec(cron="* * * * *") if trigger is None else trigger
    bounds = Rules(**rules)
    made = Schedule(
        id, spec, run or RunSpec("f"), bounds, anchor=anchor_of(bounds, created), created_at=created, updated_at=created
    )
    return replace(made, next_fire_at=first_fire_at(made, now=created))


def applied(before, firing):
    """Return the schedule as a store keeps it after `firing`."""
    assert firing.seen_next == before.next_fire_at
    assert firing.seen_version == before.version
    assert firing.seen_phase is before.phase
    resumed = before.phase is not Phase.ACTIVE and firing.phase is not before.phase
    return replace(
        before,
        next_fire_at=firing.next_fire_at,
        last_fire_at=firing.last_fire_at,
        runs=firing.runs,
        phase=firing.phase,
        phase_reason=firing.phase_reason,
        paused_at=None if resumed else before.paused_at,
        streak=0 if resumed else before.streak,
    )


def due_of(before, wall):
    """Return every instant that is due, by walking."""
    end = wall + 1 if before.rules.end_at is None else min(wall + 1, before.rules.end_at)
    if before.next_fire_at is None or before.next_fire_at >= end:
        return []
    if before.trigger.every is not None and before.trigger.mode == "delay":
        return [before.next_fire_at]
    return [before.next_fire_at, *fires_between(evaluator(before), before.next_fire_at + 1, end)]


def verdicts_of(firing, due):
    """Return what a firing says of each instant of `due`: `run` or a reason; each exactly once."""
    said = {}
    for run in firing.fires:
        assert run.fire_time not in said
        said[run.fire_time] = "run"
    for span in firing.skipped:
        inside = [moment for moment in due if span.first <= moment <= span.last]
        assert inside, span
        assert (inside[0], inside[-1], len(inside)) == (span.first, span.last, span.count)
        for moment in inside:
            assert moment not in said, (moment, span)
            said[moment] = span.reason
    return said


def expected(before, wall, unfinished, *, held_from=None):
    """Decide as the specification says it: bounds, pause, catch-up, overlap, max_runs, one instant after the other."""
    rules = before.rules
    due = due_of(before, wall)
    held = [] if held_from is None else [moment for moment in due if moment >= held_from]
    open_ones = [moment for moment in due if moment not in set(held)]
    said = dict.fromkeys(held, Reason.PAUSED)
    on_time = [moment for moment in open_ones if wall - moment <= rules.grace]
    late = [moment for moment in open_ones if wall - moment > rules.grace]
    window = [m for m in late if rules.catchup_window is None or wall - m <= rules.catchup_window]
    said.update(dict.fromkeys(late, Reason.MISSED))
    chosen = []
    if rules.catch_up is CatchUp.ALL:
        said.update(dict.fromkeys(window, Reason.CAPPED))
        chosen = window[len(window) - min(rules.max_catchup, len(window)) :]
    elif rules.catch_up is CatchUp.LATEST and not on_time:
        chosen = window[-1:]
    running, waiting = len(unfinished.running), len(unfinished.waiting)
    runs = before.runs
    candidates = chosen + on_time
    delay = before.trigger.every is not None and before.trigger.mode == "delay"
    overlap = Overlap.SKIP if delay else rules.overlap
    for moment in candidates:
        fits = {
            Overlap.SKIP: running + waiting == 0,
            Overlap.ALLOW: rules.max_running is None or running + waiting < rules.max_running,
            Overlap.QUEUE_ONE: waiting == 0,
            Overlap.QUEUE_ALL: waiting < MAX_QUEUED,
            Overlap.CANCEL: moment == candidates[-1],
        }[overlap]
        if not fits:
            said[moment] = Reason.OVERLAP
        elif rules.max_runs is not None and runs >= rules.max_runs:
            said[moment] = Reason.ENDED
        else:
            said[moment] = "run"
            runs += 1
            if overlap in {Overlap.QUEUE_ONE, Overlap.QUEUE_ALL} and running + waiting:
                waiting += 1
            else:
                running += 1
    return said
