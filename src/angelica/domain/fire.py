"""Firing: from a due schedule, the moment and its unfinished runs to what is written; a pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from angelica.clock import MILLISECOND, Now
from angelica.domain.backlog import Backlog, Wanted, backlog_of, wanted_of
from angelica.domain.jitter import jitter
from angelica.domain.overlap import Standing
from angelica.domain.schedule import CatchUp, Fire, Firing, Phase, Schedule, Skipped, SkipReason, Unfinished
from angelica.domain.task import Extras, NewTask
from angelica.domain.trigger import is_delay, next_fire_after
from angelica.domain.value import maker

PASS: Final = 1_000
"""The most fires that one pass decides one by one."""

UNLIMITED: Final = 1 << 62

MAX_RUNS: Final = "max_runs"
END_AT: Final = "end_at"
LAST_FIRE: Final = "last_fire"
FAILURES: Final = "failures"

_extras: Final = maker(Extras)
_new_task: Final = maker(NewTask)
_firing: Final = maker(Firing)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass has decided of the backlog's part that may run."""

    fires: tuple[Fire, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    cancel: tuple[str, ...] = ()
    rest: int | None = None


def fire(schedule: Schedule, *, now: Now, unfinished: Unfinished) -> Firing:
    """Return what a pass over `schedule` at `now` decides; `schedule.next_fire_at` is not None and not after now.

    Order (each fire gets a run or a reason): bounds, pause, catch-up, overlap, `max_runs`. At most about 1,000 fires
    run in one pass: where `Firing.next_fire_at` is still due, the next pass goes on. A schedule that is paused stays
    so: what is due is recorded as `paused`.

    An edit that moves `next_fire_at` loses what is due and not decided yet: write a firing first.
    """
    held_from = None if schedule.phase is Phase.ACTIVE else 0
    return _fire(schedule, now, unfinished, held_from, schedule.phase)


def resume(schedule: Schedule, *, now: Now, unfinished: Unfinished, catch_up: bool = False) -> Firing:
    """Return the firing that makes a paused or orphaned schedule active and decides what fell due meanwhile.

    Fires since `paused_at` are recorded as `paused`, those before it are decided by the policies; with `catch_up` all
    of them are. `schedule.next_fire_at` is not None (else there is nothing to decide: put the phase alone).
    """
    held_from = None if catch_up else schedule.paused_at or 0
    return _fire(schedule, now, unfinished, held_from, Phase.ACTIVE)


def settle(schedule: Schedule, *, ended_at: int, failed: bool | None, unfinished_left: int) -> Schedule:
    """Return `schedule` after one of its runs has ended (terminally, in whatever way: also one cancelled or lapsed).

    `failed` is None for a cancelled run, which counts neither as a failure nor as a success. `unfinished_left` is how
    many runs of the schedule are unfinished after this end. Changes `streak`, pauses after `pause_after_failures` in a
    row (phase, reason, `paused_at`), and arms a `delay` schedule again where no run is left. Returns `schedule` itself
    where nothing changes.
    """
    settled = schedule
    if failed is not None and (failed or schedule.streak):
        settled = replace(settled, streak=schedule.streak + 1 if failed else 0)
    bound = schedule.rules.pause_after_failures
    if failed and bound is not None and settled.streak >= bound and schedule.phase is Phase.ACTIVE:
        settled = replace(settled, phase=Phase.PAUSED, phase_reason=FAILURES, paused_at=ended_at)
    due = schedule.next_fire_at is not None and schedule.next_fire_at <= ended_at
    if is_delay(schedule) and not unfinished_left and not due and schedule.phase is not Phase.COMPLETED:
        # After a step back of the clock: a fire at or before the last one would be taken for it.
        armed = next_fire_after(schedule, max(ended_at, schedule.last_fire_at or 0))
        settled = replace(settled, next_fire_at=armed)
        if armed is None:
            settled = replace(settled, phase=Phase.COMPLETED, phase_reason=END_AT)
    return settled


def delete_at(schedule: Schedule) -> int | None:
    """Return when a completed schedule is to be deleted (`delete_after` past its last fire), None if never."""
    if schedule.phase is not Phase.COMPLETED or schedule.rules.delete_after is None:
        return None
    ended = schedule.updated_at if schedule.last_fire_at is None else schedule.last_fire_at
    return ended + schedule.rules.delete_after


def task_id_of(schedule_id: str, fire_time: int) -> str:
    """Return the id of the run of a fire: the same on every node, so that a repeat cannot make a second task.

    A UUIDv8 (RFC 9562, section 5.8): the fire's millisecond, so that ids sort by it, then 74 bits of a hash of both.
    """
    digest = blake2b(f"{schedule_id}|{fire_time}".encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    head = f"{fire_time // MILLISECOND:012x}"
    tail = f"{(bits & 0x3FFFFFFFFFFFFFFF) | 0x8000000000000000:016x}"
    return f"{head[:8]}-{head[8:]}-8{bits >> 68:03x}-{tail[:4]}-{tail[4:]}"


def _fire(schedule: Schedule, now: Now, unfinished: Unfinished, held_from: int | None, phase: Phase) -> Firing:
    first = schedule.next_fire_at
    assert first is not None, "nothing can be due"
    backlog = backlog_of(schedule, first, wall=now.wall)
    free = backlog if held_from is None else backlog.until(held_from)
    # What is held is decided in this pass, so nothing before it may be left to the next one.
    decided = _decide(schedule, free, now, unfinished, PASS if held_from is None else UNLIMITED)
    skipped = decided.skipped
    if held_from is not None:
        skipped += backlog.span(SkipReason.PAUSED, held_from, backlog.end)
    if backlog.end <= first <= now.wall:
        skipped += (Skipped(SkipReason.ENDED, first, first, 1),)
    runs = schedule.runs + len(decided.fires)
    next_fire_at, completed = _next(schedule, runs, decided, now.wall)
    last = [at for at in (schedule.last_fire_at, *_newest(decided.fires, skipped)) if at is not None]
    reason = schedule.phase_reason if phase is schedule.phase else ""
    return _firing(
        schedule_id=schedule.id,
        seen_next=first,
        seen_version=schedule.version,
        next_fire_at=next_fire_at,
        last_fire_at=max(last, default=None),
        runs=runs,
        phase=Phase.COMPLETED if completed else phase,
        phase_reason=completed or reason,
        fires=decided.fires,
        skipped=skipped,
        cancel=decided.cancel,
        seen_phase=schedule.phase,
    )


def _decide(schedule: Schedule, backlog: Backlog, now: Now, unfinished: Unfinished, limit: int) -> _Pass:
    """Give each fire of `backlog` a run or a reason: catch-up, overlap, `max_runs`."""
    wanted = wanted_of(backlog, schedule.rules, wall=now.wall, limit=limit)
    standing = Standing(schedule, unfinished)
    left = UNLIMITED if schedule.rules.max_runs is None else schedule.rules.max_runs - schedule.runs
    fires: list[Fire] = []
    refused: list[tuple[SkipReason, int]] = []
    for at in wanted.fires:
        if not standing.admits(newest=at == wanted.fires[-1]):
            refused.append((SkipReason.OVERLAP, at))
        elif len(fires) >= left:
            refused.append((SkipReason.ENDED, at))
        else:
            task = _run(schedule, at, wanted, now)
            fires.append(Fire(at, task, standing.enter(task.id)))
    skipped = (*wanted.skipped, *_spans(refused))
    rest = wanted.rest
    if rest is not None and len(fires) >= left:
        skipped, rest = (*skipped, *backlog.span(SkipReason.ENDED, rest, backlog.end)), None
    return _Pass(tuple(fires), skipped, standing.cancel, rest)


def _run(schedule: Schedule, fire_time: int, wanted: Wanted, now: Now) -> NewTask:
    """Return the task of a fire; a missed one is due now, so that it does not outrank all else by its age."""
    run, rules = schedule.run, schedule.rules
    delay = 0
    if rules.jitter:
        following = next_fire_after(schedule, fire_time)
        gap = None if following is None else following - fire_time
        delay = jitter(schedule.id, fire_time, rules.jitter, mode=rules.jitter_mode, gap=gap)
    marks: dict[str, Any] = {"fire_time": fire_time}
    missed = fire_time < wanted.missed_until
    if missed and rules.catch_up is CatchUp.LATEST:
        marks["missed_count"] = wanted.missed
    task_id = task_id_of(schedule.id, fire_time)
    return _new_task(
        id=task_id,
        function=run.function,
        payload=run.payload,
        run_at=max(fire_time + delay, now.wall) if missed else fire_time + delay,
        created_at=now.wall,
        policy=run.policy,
        queue=run.queue,
        executor=run.executor,
        priority=run.priority,
        version=run.version,
        trace_id=blake2b(task_id.encode(), digest_size=16).hexdigest(),
        extras=_marked(run.extras, schedule.id, marks),
    )


def _marked(extras: Extras, schedule_id: str, marks: dict[str, Any]) -> Extras:
    return _extras(
        extras.headers,
        extras.labels,
        {**extras.extensions, **marks},
        extras.created_by,
        extras.digest,
        extras.parent_id,
        extras.retry_of,
        schedule_id,
        extras.requires,
        extras.limits,
        extras.uses,
        extras.latency,
    )


def _next(schedule: Schedule, runs: int, decided: _Pass, wall: int) -> tuple[int | None, str]:
    """Return the next fire of `schedule` after a pass that leaves it with `runs`, or why it is completed."""
    first, rules = schedule.next_fire_at, schedule.rules
    if first is not None and first > wall:
        return first, ""
    if rules.max_runs is not None and runs >= rules.max_runs:
        return None, MAX_RUNS
    if decided.rest is not None:
        return decided.rest, ""
    if is_delay(schedule) and decided.fires:
        return None, ""
    following = next_fire_after(schedule, wall)
    if following is not None:
        return following, ""
    ended = rules.end_at is not None and next_fire_after(replace(schedule, rules=replace(rules, end_at=None)), wall)
    return None, END_AT if ended else LAST_FIRE


def _spans(refused: list[tuple[SkipReason, int]]) -> list[Skipped]:
    spans = []
    for reason, group in groupby(refused, key=itemgetter(0)):
        times = [at for _, at in group]
        spans.append(Skipped(reason, times[0], times[-1], len(times)))
    return spans


def _newest(fires: tuple[Fire, ...], skipped: tuple[Skipped, ...]) -> list[int]:
    return [run.fire_time for run in fires] + [span.last for span in skipped]
