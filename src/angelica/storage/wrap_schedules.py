"""The verbs of schedules in a storage around a storage, and what the answers of a repeated call mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from angelica.clock import Now
from angelica.domain.schedule import FireRecord, Firing, Schedule, Unfinished
from angelica.domain.task import NewTask
from angelica.storage.protocol import Due, PutStatus, ScheduleFilter, SchedulePage, SchedulePut, Storage

T = TypeVar("T")

SCHEDULE_WRITES: Final = frozenset({"put_schedules", "delete_schedules", "fire_many", "record_fires"})
SCHEDULE_READS: Final = frozenset(
    {
        "due_schedules",
        "next_fire",
        "get_schedules",
        "list_schedules",
        "unfinished_runs",
        "read_fires",
        "fire_times",
    }
)


class WrappedSchedules:
    """The part of `Wrapping` that is its `ScheduleStore`."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        """Do the call named `verb`; `call` may be called again to do it again."""
        return await call()

    async def put_schedules(self, puts: Sequence[SchedulePut], *, now: Now) -> tuple[PutStatus, ...]:
        return await self._call("put_schedules", lambda: self.inner.put_schedules(puts, now=now))

    async def delete_schedules(self, ids: Sequence[str], *, now: Now, tombstone: bool = True) -> tuple[bool, ...]:
        return await self._call(
            "delete_schedules", lambda: self.inner.delete_schedules(ids, now=now, tombstone=tombstone)
        )

    async def due_schedules(self, *, now: Now, limit: int = 500) -> tuple[Due, ...]:
        return await self._call("due_schedules", lambda: self.inner.due_schedules(now=now, limit=limit))

    async def next_fire(self) -> int | None:
        return await self._call("next_fire", self.inner.next_fire)

    async def fire_many(self, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
        return await self._call("fire_many", lambda: self.inner.fire_many(firings, now=now))

    async def record_fires(
        self,
        records: Sequence[FireRecord],
        tasks: Sequence[NewTask],
        *,
        now: Now,
        after: Sequence[str | None] | None = None,
        force: bool = False,
    ) -> tuple[bool, ...]:
        return await self._call(
            "record_fires", lambda: self.inner.record_fires(records, tasks, now=now, after=after, force=force)
        )

    async def get_schedules(self, ids: Sequence[str]) -> tuple[Schedule | None, ...]:
        return await self._call("get_schedules", lambda: self.inner.get_schedules(ids))

    async def list_schedules(self, where: ScheduleFilter, *, limit: int = 50, after: str | None = None) -> SchedulePage:
        return await self._call("list_schedules", lambda: self.inner.list_schedules(where, limit=limit, after=after))

    async def unfinished_runs(self, schedule_id: str) -> Unfinished:
        return await self._call("unfinished_runs", lambda: self.inner.unfinished_runs(schedule_id))

    async def read_fires(
        self, schedule_id: str, *, before: int | None = None, limit: int = 100
    ) -> tuple[FireRecord, ...]:
        return await self._call("read_fires", lambda: self.inner.read_fires(schedule_id, before=before, limit=limit))

    async def fire_times(self, schedule_id: str, start: int, end: int) -> tuple[int, ...]:
        return await self._call("fire_times", lambda: self.inner.fire_times(schedule_id, start, end))


def put_by_us(
    puts: Sequence[SchedulePut], statuses: Sequence[PutStatus], standing: Sequence[Schedule | None]
) -> tuple[PutStatus, ...]:
    """A refused put whose definition stands, made at the same moment, was written by the call before."""
    found: list[PutStatus] = []
    for put, status, schedule in zip(puts, statuses, standing, strict=True):
        ours = schedule is not None and _definition(schedule) == _definition(put.schedule)
        if ours and status == "exists":
            found.append("created")
        else:
            found.append("updated" if ours and status == "stale" else status)
    return tuple(found)


def _definition(schedule: Schedule) -> tuple[object, ...]:
    return (
        schedule.trigger,
        schedule.run,
        schedule.rules,
        schedule.version,
        schedule.declared,
        schedule.override,
        schedule.created_at,
        schedule.updated_at,
    )


def deleted_by_us(ids: Sequence[str], deleted: Sequence[bool]) -> tuple[bool, ...]:
    """What does not stand after the repeated call was deleted by the call before: the first place of each id."""
    return tuple(done or ids.index(name) == place for place, (name, done) in enumerate(zip(ids, deleted, strict=True)))


def fired_by_us(
    firings: Sequence[Firing], answers: Sequence[bool], standing: Sequence[Schedule | None]
) -> tuple[bool, ...]:
    """A refused firing after which the schedule stands as it says was written by the call before."""
    return tuple(
        answer or (schedule is not None and _as_fired(schedule) == _as_decided(firing))
        for firing, answer, schedule in zip(firings, answers, standing, strict=True)
    )


def _as_fired(schedule: Schedule) -> tuple[object, ...]:
    return schedule.next_fire_at, schedule.last_fire_at, schedule.runs, schedule.phase, schedule.version


def _as_decided(firing: Firing) -> tuple[object, ...]:
    return firing.next_fire_at, firing.last_fire_at, firing.runs, firing.phase, firing.seen_version
