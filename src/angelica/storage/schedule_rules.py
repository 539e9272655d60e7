"""What all adapters decide alike about schedules: whether a put applies, what a firing records, which run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from angelica.clock import DAY
from angelica.domain.schedule import MAX_QUEUED, SOURCE, Fire, FireRecord, Firing, Overlap, Phase, Rules, Schedule
from angelica.domain.trigger import is_delay
from angelica.storage.protocol import PutStatus, SchedulePut
from angelica.storage.rows import from_json

KEEP_FIRES: Final = 8 * DAY
SEEN: Final = MAX_QUEUED + 1
ALL: Final = 1 << 62
WRITTEN: Final = frozenset({"created", "updated"})
OVERLAP: Final = "overlap"
"""The reason given to a run that is cancelled for the next one."""


def judge_put(put: SchedulePut, standing: Schedule | None, *, deleted: bool) -> tuple[PutStatus, Schedule | None]:
    """Return what becomes of a put and the schedule to write, if any; `deleted`: a tombstone stands."""
    if standing is None:
        if put.unless_deleted and deleted:
            return "deleted", None
        return ("missing", None) if isinstance(put.expect, int) else ("created", put.schedule)
    if put.expect == "new":
        return "exists", None
    if isinstance(put.expect, int) and put.expect != standing.version:
        return "stale", None
    if put.seen is not None and _firing_state(put.seen) != _firing_state(standing):
        return "stale", None
    return _updated(put.schedule, standing)


def _firing_state(schedule: Schedule) -> tuple[object, ...]:
    return schedule.next_fire_at, schedule.last_fire_at, schedule.runs, schedule.streak, schedule.phase


def _updated(given: Schedule, standing: Schedule) -> tuple[PutStatus, Schedule | None]:
    times = [moment for moment in (given.last_fire_at, standing.last_fire_at) if moment is not None]
    new = replace(given, last_fire_at=max(times, default=None), runs=max(given.runs, standing.runs))
    if replace(new, seen_at=standing.seen_at, updated_at=standing.updated_at) != standing:
        return "updated", new
    return "unchanged", None if new.seen_at == standing.seen_at else replace(standing, seen_at=new.seen_at)


def applies(firing: Firing, standing: Schedule | None) -> bool:
    """Whether the schedule stands as the firing saw it."""
    seen = (firing.seen_next, firing.seen_version, firing.seen_phase)
    return standing is not None and (standing.next_fire_at, standing.version, standing.phase) == seen


def is_resume(firing: Firing) -> bool:
    """Whether the firing makes a paused schedule active."""
    return firing.seen_phase in {Phase.PAUSED, Phase.ORPHANED} and firing.phase is not firing.seen_phase


def fired(standing: Schedule, firing: Firing) -> Schedule:
    """Return the schedule as the firing leaves it."""
    after = replace(
        standing,
        next_fire_at=firing.next_fire_at,
        last_fire_at=firing.last_fire_at,
        runs=firing.runs,
        phase=firing.phase,
        phase_reason=firing.phase_reason,
    )
    return replace(after, paused_at=None, streak=0) if is_resume(firing) else after


def fires_to_run(firing: Firing, standing: Schedule) -> Sequence[Fire]:
    """Return the fires that come after all that was decided before, each moment once."""
    last = standing.last_fire_at
    moments = {fire.fire_time: fire for fire in reversed(firing.fires) if last is None or fire.fire_time > last}
    return list(reversed(moments.values()))


def runs_seen(schedule: Schedule) -> int:
    """Return how many of its unfinished runs, the newest, a due schedule comes with: none, a bound, or all."""
    rules = schedule.rules
    if rules.overlap is not Overlap.ALLOW or is_delay(schedule):
        return SEEN
    if rules.max_running is None:
        return 0
    return SEEN if rules.max_running < SEEN else ALL


def keep_fires(rules: Rules) -> int:
    """Return how long (microseconds) the records of a schedule's fires are kept."""
    return max(KEEP_FIRES, (rules.catchup_window or 0) + DAY)


def history(firing: Firing, run: Sequence[Fire], latest: FireRecord | None, *, wall: int) -> list[FireRecord]:
    """Return the records that a firing writes for the fires that `run` and for its spans.

    `latest` is the schedule's latest record of a scheduled fire: a span that goes on in the same reason makes it longer
    (it is then among what is returned).
    """
    made: list[FireRecord] = [
        FireRecord(firing.schedule_id, fire.fire_time, "scheduled", fire.task.id, recorded_at=wall) for fire in run
    ]
    made += [
        FireRecord(firing.schedule_id, span.first, "scheduled", None, span.reason, span.last, span.count, wall)
        for span in firing.skipped
    ]
    if not firing.skipped:
        return made
    made.sort(key=lambda record: (record.fire_time, record.reason or ""))
    written: list[FireRecord] = []
    for record in made:
        if latest is not None and _goes_on(latest, record):
            record = replace(latest, last=record.last, count=latest.count + record.count, recorded_at=wall)  # noqa: PLW2901
            if written and written[-1].fire_time == latest.fire_time and written[-1].reason is latest.reason:
                written.pop()
        written.append(record)
        latest = record
    return written


def _goes_on(latest: FireRecord, record: FireRecord) -> bool:
    return (
        latest.reason is not None
        and latest.reason is record.reason
        and (latest.fire_time if latest.last is None else latest.last) < record.fire_time
    )


def slot_of(record: FireRecord, *, force: bool = False) -> str:
    """Return what tells records of the same schedule and fire time apart.

    Empty for the one run of a fire; a span has its reason, a run of its own (manual, or forced) its task's id.
    """
    if record.reason is not None:
        return record.reason.value
    if record.kind == "manual" or (force and record.kind == "backfill"):
        return record.task_id or ""
    return ""


def go_on(unfinished: Mapping[str, str | None], ended: set[str]) -> tuple[str | None, dict[str, str]]:
    """Say what becomes of the runs of a schedule that wait on `ended` ones.

    `unfinished` are its runs that have not ended, oldest first, with what each waits for (None: it is not waiting).
    Returns the run that becomes ready, if any, and what each other one waits for from now on.
    """
    waiters = [run for run, waits_for in unfinished.items() if waits_for in ended]
    if not waiters:
        return None, {}
    busy = latest_busy(unfinished)
    if busy is not None:
        return None, dict.fromkeys(waiters, busy)
    return waiters[0], dict.fromkeys(waiters[1:], waiters[0])


def declared_source(schedule: Schedule) -> str | None:
    """Return which code declares a schedule, None if none does."""
    if schedule.declared is None:
        return None
    source: str | None = from_json(schedule.declared).get(SOURCE)
    return source


def named(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is the name, or its beginning followed by `*`."""
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def latest_busy(unfinished: Mapping[str, str | None]) -> str | None:
    """Return the latest unfinished run that is not waiting."""
    return next((run for run in reversed(list(unfinished)) if unfinished[run] is None), None)
