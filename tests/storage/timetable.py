"""Short words for what tests do to schedules."""

from __future__ import annotations

from typing import Any

from angelica.clock import SECOND
from angelica.domain.fire import fire
from angelica.domain.schedule import (
    Fire,
    FireRecord,
    Firing,
    Overlap,
    Rules,
    RunSpec,
    Schedule,
    Skipped,
    TriggerSpec,
    Unfinished,
)
from angelica.domain.task import Extras, NewTask, Policy, Task
from angelica.storage.protocol import Due, PutStatus, SchedulePut
from tests.storage.world import START, World

PERIOD = 60 * SECOND
ONE_TRY = Policy(retries=0)


def schedule(name: str = "s", /, **parts: Any) -> Schedule:
    """A schedule that fires each minute from START on; what is not a field of it is one of its rules."""
    fields = {key: parts.pop(key) for key in list(parts) if key in Schedule.__slots__}
    fields.setdefault("trigger", TriggerSpec(every=PERIOD))
    fields.setdefault("run", RunSpec("f", policy=ONE_TRY))
    times = {"next_fire_at": START, "anchor": START, "created_at": START, "updated_at": START}
    return Schedule(name, **{"rules": Rules(**{"overlap": Overlap.ALLOW, **parts}), **times, **fields})


def run_of(name: str, task_id: str, **parts: Any) -> NewTask:
    fields = {"run_at": START, "created_at": START, "policy": ONE_TRY, **parts}
    return NewTask(task_id, "f", "{}", **fields, extras=Extras(schedule_id=name))


def firing(standing: Schedule, *fires: Fire, **parts: Any) -> Firing:
    """A firing that fits what stands; with nothing else given the schedule stays due."""
    last = max((fire.fire_time for fire in fires), default=standing.last_fire_at)
    fields: dict[str, Any] = {
        "schedule_id": standing.id,
        "seen_next": standing.next_fire_at,
        "seen_version": standing.version,
        "next_fire_at": standing.next_fire_at,
        "last_fire_at": last,
        "runs": standing.runs + len(fires),
        "phase": standing.phase,
        "fires": fires,
        "seen_phase": standing.phase,
    }
    return Firing(**{**fields, **parts})


def a_fire(name: str, task_id: str, minute: int, after: str | None = None) -> Fire:
    return Fire(START + minute * PERIOD, run_of(name, task_id), after)


class Timetable:
    """The schedules of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def put(self, *puts: SchedulePut | Schedule) -> tuple[PutStatus, ...]:
        made = [put if isinstance(put, SchedulePut) else SchedulePut(put) for put in puts]
        return self.world.run(self.world.storage.put_schedules(made, now=self.world.now))

    def get(self, name: str = "s") -> Schedule:
        (found,) = self.world.run(self.world.storage.get_schedules([name]))
        assert found is not None
        return found

    def find(self, name: str = "s") -> Schedule | None:
        return self.world.run(self.world.storage.get_schedules([name]))[0]

    def delete(self, *names: str, tombstone: bool = True) -> tuple[bool, ...]:
        return self.world.run(self.world.storage.delete_schedules(names, now=self.world.now, tombstone=tombstone))

    def due(self, limit: int = 500) -> tuple[Due, ...]:
        return self.world.run(self.world.storage.due_schedules(now=self.world.now, limit=limit))

    def fire(self, *firings: Firing) -> tuple[bool, ...]:
        return self.world.run(self.world.storage.fire_many(firings, now=self.world.now))

    def tick(self) -> list[Firing]:
        """One pass as a ticker makes it; returns the firings that were written."""
        firings = [fire(due.schedule, now=self.world.now, unfinished=due.unfinished) for due in self.due()]
        return [one for one, done in zip(firings, self.fire(*firings), strict=True) if done]

    def record(
        self,
        *runs: tuple[FireRecord, NewTask],
        after: list[str | None] | None = None,
        force: bool = False,
    ) -> tuple[bool, ...]:
        records, tasks = [record for record, _ in runs], [task for _, task in runs]
        storage = self.world.storage
        return self.world.run(storage.record_fires(records, tasks, now=self.world.now, after=after, force=force))

    def fires(self, name: str = "s", **parts: Any) -> list[tuple[int, str | None]]:
        """The history, newest first: minutes since START, and the reason or task."""
        records = self.world.run(self.world.storage.read_fires(name, **parts))
        return [((record.fire_time - START) // PERIOD, record.reason or record.task_id) for record in records]

    def history(self, name: str = "s") -> tuple[FireRecord, ...]:
        return self.world.run(self.world.storage.read_fires(name))

    def unfinished(self, name: str = "s") -> Unfinished:
        return self.world.run(self.world.storage.unfinished_runs(name))

    def states(self, *task_ids: str) -> list[str]:
        return [self.world.get(task_id).state.value for task_id in task_ids]

    def claim_all(self) -> dict[str, Task]:
        return {task.id: task for task in self.world.claim()}


def span(reason: Any, first: int, last: int, count: int) -> Skipped:
    """A span of minutes since START."""
    return Skipped(reason, START + first * PERIOD, START + last * PERIOD, count)
