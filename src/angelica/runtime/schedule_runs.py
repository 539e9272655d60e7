"""Runs that are not fires: one that is triggered by hand, and those of fire times that have passed (backfill)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from angelica.clock import Now
from angelica.domain.events import TasksSubmitted
from angelica.domain.fire import task_id_of
from angelica.domain.ids import uuid7
from angelica.domain.lifecycle import first_state
from angelica.domain.schedule import FireKind, FireRecord, Schedule
from angelica.domain.task import NewTask, Task
from angelica.domain.trigger import is_delay, occurrences
from angelica.errors import InvalidValue
from angelica.runtime.catalogue import Catalogue
from angelica.runtime.definition import definition_of
from angelica.runtime.drafts import read_draft
from angelica.runtime.means import Means
from angelica.runtime.operations import Operation, Operations
from angelica.runtime.schedule_fields import moment_text
from angelica.runtime.submit import Asked, TaskMaker
from angelica.storage.protocol import Storage

MAX_BACKFILL: Final = 10_000
BATCH: Final = 500
SHOWN: Final = 1_000

Pace = Literal["queue_all", "allow"]
PACES: Final = ("queue_all", "allow")

_REFUSED: Final = {
    "task_id": "a run has an id of its own",
    "unique": "a run beside an unfinished one is what was asked for",
    "name": "the schedule says which function; submit a task to run another",
}


class ScheduleRuns:
    """Makes and records runs of stored schedules."""

    def __init__(
        self,
        storage: Storage,
        *,
        means: Means,
        catalogue: Catalogue,
        make: TaskMaker,
        bits: Callable[[int], int],
        operations: Operations,
    ) -> None:
        self._storage = storage
        self._means = means
        self._catalogue = catalogue
        self._make = make
        self._bits = bits
        self._operations = operations

    async def trigger(
        self, schedule: Schedule, overrides: Mapping[str, Any] | None, *, created_by: str | None = None
    ) -> Task:
        """Store one run now, whatever the schedule's phase and its unfinished runs; it does not move the grid.

        `overrides` are fields of a task request: `args` replace, `kwargs` are laid over those of the schedule.
        """
        now = self._means.clock.now()
        marks = {"fire_time": now.wall}
        if overrides:
            run = await self._overridden(schedule, overrides, now)
        else:
            run = self._run(schedule, uuid7(now.wall, self._bits(74)), now.wall, now)
        extras = run.extras
        changes: dict[str, Any] = {"schedule_id": schedule.id, "extensions": {**extras.extensions, **marks}}
        if created_by is not None:
            changes["created_by"] = created_by
        run = replace(run, unique=None, extras=replace(extras, **changes))
        record = _record(schedule, now.wall, run, "manual", now)
        await self._storage.record_fires([record], [run], now=now)
        self._means.emit(TasksSubmitted((run,)))
        standing = (await self._storage.get_tasks([run.id]))[0]
        return standing or Task(run, first_state(run, now=now), run_at=run.run_at)

    async def _overridden(self, schedule: Schedule, overrides: Mapping[str, Any], now: Now) -> NewTask:
        """Return a run of the definition with other arguments and options."""
        for key, why in _REFUSED.items():
            if overrides.get(key) is not None:
                raise InvalidValue(f"/{key}", f"cannot be overridden: {why}", rule="not_for_runs")
        given = _overlaid(definition_of(schedule), overrides)
        draft = read_draft({**given, "name": schedule.run.function})
        target = await self._catalogue.find(draft.name)
        payload = target.encode(draft.args, draft.kwargs)
        by = schedule.run.extras.created_by
        asked = Asked(target, draft.args, draft.kwargs, draft.options, headers=draft.headers, created_by=by)
        return self._make.make(asked, payload, now.wall, None)

    def _run(self, schedule: Schedule, task_id: str, run_at: int, now: Now) -> NewTask:
        """Return a run as the schedule's own fires make it."""
        run = schedule.run
        return NewTask(
            id=task_id,
            function=run.function,
            payload=run.payload,
            run_at=run_at,
            created_at=now.wall,
            policy=run.policy,
            queue=run.queue,
            executor=run.executor,
            priority=run.priority,
            version=run.version,
            trace_id=self._make.trace_id(run.extras.headers, None),
            extras=run.extras,
        )

    async def backfill(
        self, schedule: Schedule, start: int, end: int, *, force: bool, dry_run: bool, pace: Pace
    ) -> Operation:
        """Store a run for each fire time in [start, end) up to now that has none; with `force` for all of them.

        They run one after the other (`queue_all`), after what is unfinished, or all at once (`allow`).
        """
        now = self._means.clock.now()
        times = _passed(schedule, start, end, now.wall)
        standing = frozenset(await self._storage.fire_times(schedule.id, start, end))
        wanted = times if force else [time for time in times if time not in standing]
        operation = Operation(
            uuid7(now.wall, self._bits(74)),
            "backfill",
            "planned" if dry_run else "running",
            len(wanted),
            skipped=len(times) - len(wanted),
            created_at=now.wall,
            detail={
                "schedule_id": schedule.id,
                "force": force,
                "overlap": pace,
                "times": [moment_text(time) for time in wanted[:SHOWN]],
            },
        )
        self._operations.keep(operation)
        return operation if dry_run else await self._fill(schedule, operation, wanted, pace, force=force)

    async def _fill(
        self, schedule: Schedule, operation: Operation, times: Sequence[int], pace: Pace, *, force: bool
    ) -> Operation:
        unfinished = await self._storage.unfinished_runs(schedule.id)
        last = next(iter((*unfinished.waiting[-1:], *unfinished.running[-1:])), None)
        try:
            for first in range(0, len(times), BATCH):
                chunk = times[first : first + BATCH]
                now = self._means.clock.now()
                runs = [self._past_run(schedule, time, now, force=force) for time in chunk]
                chain = [last, *(run.id for run in runs)] if pace == "queue_all" else [None] * (len(runs) + 1)
                records = [_record(schedule, time, run, "backfill", now) for time, run in zip(chunk, runs, strict=True)]
                replies = await self._storage.record_fires(records, runs, now=now, after=chain[:-1], force=force)
                stored = tuple(run for run, accepted in zip(runs, replies, strict=True) if accepted)
                if stored:
                    self._means.emit(TasksSubmitted(stored))
                last = chain[-1]
                missed = len(runs) - len(stored)
                operation = replace(
                    operation,
                    done=operation.done + len(stored),
                    skipped=operation.skipped + missed,
                    total=operation.total - missed,
                )
                self._operations.keep(operation)
        except Exception as error:
            failed = replace(operation, state="failed", error=str(error), finished_at=self._means.clock.wall())
            self._operations.keep(failed)
            raise
        return self._operations.keep(replace(operation, state="succeeded", finished_at=self._means.clock.wall()))

    def _past_run(self, schedule: Schedule, time: int, now: Now, *, force: bool) -> NewTask:
        # Due now, not then: a thousand old runs must not come before all else that waits by their age alone.
        own = uuid7(now.wall, self._bits(74)) if force else task_id_of(schedule.id, time)
        run = self._run(schedule, own, now.wall, now)
        extensions = {**run.extras.extensions, "fire_time": time}
        return replace(run, extras=replace(run.extras, schedule_id=schedule.id, extensions=extensions))


def _passed(schedule: Schedule, start: int, end: int, wall: int) -> list[int]:
    if end <= start:
        raise InvalidValue("/to", "must be after from", rule="too_small")
    if is_delay(schedule):
        hint = "each of its fires depends on when the run before it ended"
        raise InvalidValue("/from", "a schedule with mode delay has no past fires to fill", hint=hint)
    times = occurrences(schedule, start, min(end, wall), MAX_BACKFILL + 1)
    if len(times) > MAX_BACKFILL:
        raise InvalidValue("/to", f"asks for more than {MAX_BACKFILL} runs at once", rule="too_large", max=MAX_BACKFILL)
    return times


def _record(schedule: Schedule, time: int, run: NewTask, kind: FireKind, now: Now) -> FireRecord:
    return FireRecord(schedule.id, time, kind, task_id=run.id, recorded_at=now.wall)


def _overlaid(form: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request of one run: the definition's arguments and options under those that are given."""
    given: dict[str, Any] = {**form.get("task", {}), **overrides}
    kwargs = overrides.get("kwargs")
    if overrides.get("args") is None:
        given["args"] = form.get("args")
    if kwargs is None or isinstance(kwargs, Mapping):
        given["kwargs"] = {**form.get("kwargs", {}), **(kwargs or {})}
    return given
