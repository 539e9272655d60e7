"""The memory storage's verbs for schedules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from angelica.clock import Now
from angelica.domain.schedule import Fire, FireRecord, Firing, Schedule, Unfinished
from angelica.domain.task import NewTask
from angelica.storage.memory_book import Book
from angelica.storage.memory_cancel import cancel
from angelica.storage.memory_core import MemoryCore
from angelica.storage.memory_submit import submit_one
from angelica.storage.memory_table import RANG_SCHEDULES, Table
from angelica.storage.protocol import Due, PutStatus, ScheduleFilter, SchedulePage, SchedulePut
from angelica.storage.schedule_rules import (
    ALL,
    OVERLAP,
    WRITTEN,
    applies,
    declared_source,
    fired,
    fires_to_run,
    history,
    judge_put,
    named,
    runs_seen,
)


class MemorySchedules(MemoryCore):
    """The part of the memory storage that is its `ScheduleStore`."""

    async def put_schedules(self, puts: Sequence[SchedulePut], *, now: Now) -> tuple[PutStatus, ...]:
        with self._lock:
            table = self._open_table()
            statuses = [_put(self._book, put) for put in puts]
            if not WRITTEN.isdisjoint(statuses):
                table.rang |= RANG_SCHEDULES
        self._ring()
        return tuple(statuses)

    async def delete_schedules(self, ids: Sequence[str], *, now: Now, tombstone: bool = True) -> tuple[bool, ...]:
        with self._lock:
            table = self._open_table()
            deleted = tuple([self._book.delete(schedule_id) for schedule_id in ids])
            if tombstone:
                self._book.tombstones.update(
                    schedule_id for schedule_id, done in zip(ids, deleted, strict=True) if done
                )
            if any(deleted):
                table.rang |= RANG_SCHEDULES
        self._ring()
        return deleted

    async def due_schedules(self, *, now: Now, limit: int = 500) -> tuple[Due, ...]:
        with self._lock:
            due = self._book.due(now.wall, limit)
            return tuple([Due(one, _unfinished(self._table, one.id, runs_seen(one))) for one in due])

    async def next_fire(self) -> int | None:
        with self._lock:
            return self._book.next_fire()

    async def fire_many(self, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
        with self._lock:
            self._open_table()
            answers = tuple([self._fire(firing, now) for firing in firings])
        self._ring()
        return answers

    async def record_fires(
        self,
        records: Sequence[FireRecord],
        tasks: Sequence[NewTask],
        *,
        now: Now,
        after: Sequence[str | None] | None = None,
        force: bool = False,
    ) -> tuple[bool, ...]:
        with self._lock:
            table = self._open_table()
            answers = []
            waits = [None] * len(records) if after is None else after
            for record, task, waits_for in zip(records, tasks, waits, strict=True):
                standing = self._book.standing(record, force=force)
                new = standing is None and record.schedule_id in self._book.schedules
                if new:
                    self._book.record(record, now=now, force=force)
                    _store(table, task, record.schedule_id, waits_for, now)
                answers.append(new or (standing is not None and standing.task_id == record.task_id))
        self._ring()
        return tuple(answers)

    async def get_schedules(self, ids: Sequence[str]) -> tuple[Schedule | None, ...]:
        with self._lock:
            return tuple([self._book.schedules.get(schedule_id) for schedule_id in ids])

    async def list_schedules(self, where: ScheduleFilter, *, limit: int = 50, after: str | None = None) -> SchedulePage:
        with self._lock:
            rows = (self._book.schedules[name] for name in self._book.names() if after is None or name > after)
            found = list(islice((row for row in rows if _matches(row, where)), max(limit, 0) + 1))
            items = tuple(found[:limit])
            return SchedulePage(items, items[-1].id if len(found) > limit > 0 else None)

    async def unfinished_runs(self, schedule_id: str) -> Unfinished:
        with self._lock:
            return _unfinished(self._table, schedule_id)

    async def read_fires(
        self, schedule_id: str, *, before: int | None = None, limit: int = 100
    ) -> tuple[FireRecord, ...]:
        with self._lock:
            return tuple(islice(self._book.history(schedule_id).before(before), limit))

    async def fire_times(self, schedule_id: str, start: int, end: int) -> tuple[int, ...]:
        with self._lock:
            records = self._book.history(schedule_id).between(start, end)
            return _times(records)

    def _fire(self, firing: Firing, now: Now) -> bool:
        table, book = self._table, self._book
        standing = book.schedules.get(firing.schedule_id)
        if standing is None or not applies(firing, standing):
            return False
        run = [fire for fire in fires_to_run(firing, standing) if not _stands(book, fire, firing.schedule_id)]
        for record in history(firing, run, book.latest(standing.id) if firing.skipped else None, wall=now.wall):
            book.record(record, now=now)
        for fire in run:
            _store(table, fire.task, standing.id, fire.after, now)
        for task_id in firing.cancel:
            cancel(table, task_id, OVERLAP, now=now)
        book.put(fired(standing, firing))
        self._settle(now)
        return True


def _stands(book: Book, fire: Fire, schedule_id: str) -> bool:
    return book.standing(FireRecord(schedule_id, fire.fire_time, "scheduled", fire.task.id)) is not None


def _put(book: Book, put: SchedulePut) -> PutStatus:
    name = put.schedule.id
    status, schedule = judge_put(put, book.schedules.get(name), deleted=name in book.tombstones)
    if schedule is not None:
        book.put(schedule)
    return status


def _store(table: Table, task: NewTask, schedule_id: str, after: str | None, now: Now) -> None:
    submit_one(table, task, now=now, waits_for=table.predecessor(schedule_id, after))


def _unfinished(table: Table, schedule_id: str, newest: int = ALL) -> Unfinished:
    found = list(islice(reversed(table.unfinished_runs(schedule_id).items()), newest))[::-1] if newest else []
    running = tuple([task_id for task_id, waits_for in found if waits_for is None])
    return Unfinished(running, tuple([task_id for task_id, waits_for in found if waits_for is not None]))


def _times(records: Iterable[FireRecord]) -> tuple[int, ...]:
    times = [record.fire_time for record in records if record.task_id is not None and record.kind != "manual"]
    return tuple(dict.fromkeys(times))


def _matches(schedule: Schedule, where: ScheduleFilter) -> bool:
    return (
        (where.phases is None or schedule.phase in where.phases)
        and (not where.functions or named(schedule.run.function, where.functions))
        and (where.owner is None or schedule.owner == where.owner)
        and (where.source is None or declared_source(schedule) == where.source)
        and (where.timed_by_other is None or schedule.tz_version not in ("", where.timed_by_other))
        and schedule.id.startswith(where.prefix)
    )
