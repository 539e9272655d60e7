"""The PostgreSQL storage's verbs for schedules."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from angelica.clock import Now
from angelica.domain.schedule import FireRecord, Firing, Schedule, Unfinished
from angelica.domain.task import NewTask
from angelica.storage.postgres.core import PostgresCore
from angelica.storage.postgres.faults import Contended
from angelica.storage.protocol import Due, PutStatus, ScheduleFilter, SchedulePage, SchedulePut
from angelica.storage.verbs import fires, schedules


class PostgresSchedules(PostgresCore):
    """The part of the PostgreSQL storage that is its `ScheduleStore`."""

    async def put_schedules(self, puts: Sequence[SchedulePut], *, now: Now) -> tuple[PutStatus, ...]:
        return await self._write(partial(schedules.put_schedules, puts=puts))

    async def delete_schedules(self, ids: Sequence[str], *, now: Now, tombstone: bool = True) -> tuple[bool, ...]:
        return await self._write(partial(schedules.delete_schedules, ids=ids, now=now, tombstone=tombstone))

    async def due_schedules(self, *, now: Now, limit: int = 500) -> tuple[Due, ...]:
        return await self._read(partial(schedules.due_schedules, now=now, limit=limit))

    async def next_fire(self) -> int | None:
        return await self._read(schedules.next_fire)

    async def fire_many(self, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
        try:
            return await self._write(partial(fires.fire_many, firings=firings, now=now))
        except Contended:
            if len(firings) == 1:
                return (False,)  # a run's unique key is in somebody's open transaction: it is due again
        answers: list[bool] = []
        for firing in firings:
            answers += await self.fire_many([firing], now=now)
        return tuple(answers)

    async def record_fires(
        self,
        records: Sequence[FireRecord],
        tasks: Sequence[NewTask],
        *,
        now: Now,
        after: Sequence[str | None] | None = None,
        force: bool = False,
    ) -> tuple[bool, ...]:
        work = partial(fires.record_fires, records=records, tasks=tasks, after=after, force=force, now=now)
        return await self._here()[1].contention.attempt(tasks, lambda: self._write(work))

    async def get_schedules(self, ids: Sequence[str]) -> tuple[Schedule | None, ...]:
        return await self._read(partial(schedules.get_schedules, ids=ids))

    async def list_schedules(self, where: ScheduleFilter, *, limit: int = 50, after: str | None = None) -> SchedulePage:
        return await self._read(partial(schedules.list_schedules, where=where, limit=limit, after=after))

    async def unfinished_runs(self, schedule_id: str) -> Unfinished:
        return await self._read(partial(schedules.unfinished_runs, schedule_id=schedule_id))

    async def read_fires(
        self, schedule_id: str, *, before: int | None = None, limit: int = 100
    ) -> tuple[FireRecord, ...]:
        return await self._read(partial(fires.read_fires, schedule_id=schedule_id, before=before, limit=limit))

    async def fire_times(self, schedule_id: str, start: int, end: int) -> tuple[int, ...]:
        return await self._read(partial(fires.fire_times, schedule_id=schedule_id, start=start, end=end))
