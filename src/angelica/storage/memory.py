"""The storage in the memory of this process: the executable specification of the protocol, and a fast lossy queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from angelica.clock import DAY, Clock, Now
from angelica.domain import reasons
from angelica.domain.fence import Fence
from angelica.domain.lifecycle import Completion
from angelica.domain.task import Lease, NewTask, State, Task
from angelica.domain.value import maker
from angelica.errors import NotSupported
from angelica.storage.memory_breakers import MemoryBreakers, record_call
from angelica.storage.memory_cancel import cancel
from angelica.storage.memory_claims import claim_tasks
from angelica.storage.memory_holds import free, park_unmet
from angelica.storage.memory_journal import annotate, append_log
from angelica.storage.memory_limits import refill
from angelica.storage.memory_reader import MemoryReader
from angelica.storage.memory_rows import Row
from angelica.storage.memory_submit import Requests, submit, submit_atomic
from angelica.storage.memory_table import RANG_CONTROL, RANG_SCHEDULES, Holder, Table
from angelica.storage.protocol import (
    Beat,
    BeatReply,
    CancelStatus,
    Claim,
    Control,
    ControlStatus,
    Enqueued,
    Exchanged,
    FunctionRow,
    Joined,
    LogLine,
    Note,
    Promoted,
    Request,
    StoreStatus,
    WorkerInfo,
    WorkerRow,
)
from angelica.storage.verbs.transaction import NONE_TAKEN

_exchanged: Final = maker(Exchanged)


class MemoryStorage(MemoryReader, MemoryBreakers):
    """Everything in dicts and heaps behind one lock; gone when the process ends.

    It never waits inside a call, so a coroutine of it that is awaited finishes without a trip through the loop.
    Nothing is refused for its size: a bound and what to do at it belong to the caller (`unfinished`, `drop_oldest`).
    With `keep_ended`, no more than so many ended tasks are kept, whatever their retention: memory is not a disk.
    """

    def __init__(self, clock: Clock, *, url: str = "memory:", keep_ended: int | None = None) -> None:
        super().__init__(clock)
        self._keep_ended = keep_ended
        self._url = url
        self._table = Table(keeps_few=keep_ended is not None)
        self._requests = Requests()
        self._functions: dict[str, FunctionRow] = {}

    # --- submitting, claiming, ending ---

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        with self._lock:
            table = self._open_table()
            if request is not None:
                answer = self._requests.answer(request, now=now)
                if answer is not None:
                    return answer
            answer = submit_atomic(table, tasks, now=now) if atomic else submit(table, tasks, now=now)
            if request is not None and not any(item.status == "aborted" for item in answer.items):
                self._requests.keep(request, answer)
        self._ring()
        return answer

    def put(self, task: NewTask, *, now: Now) -> None:
        """Store one task that is due and has an id that nothing has; no wait and no answer."""
        with self._lock:
            self._open_table().insert(task, now=now)
        self._ring()

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        with self._lock:
            table = self._open_table()
            for line in journal:
                append_log(table, line)
            accepted = [_end(table, end, now) for end in ends]
            self._settle(now)
            if table.gates.left:
                refill(table, table.gates.take_left(), now=now)
            claimed, lapsed, kept = NONE_TAKEN if claim is None else claim_tasks(table, claim, now=now)
            self._settle(now)
            if self._keep_ended is not None:
                table.trim(self._keep_ended)
        self._ring()
        passed = table.gates.passed
        gated = any(task.spec.id in passed for task in claimed) if passed else False
        return _exchanged(tuple(accepted), tuple(claimed), tuple(lapsed), gated, kept)

    async def heartbeat(self, beat: Beat, *, now: Now, limit: int = 1000) -> BeatReply:
        with self._lock:
            table = self._open_table()
            info = beat.worker
            holder = table.holder(info.id)
            holder.info = info
            holder.lease_until = beat.lease_until
            holder.seen_at = beat.seen_at
            for task_id, attempt, started_at in beat.started:
                row = holder.running.get(task_id)
                if row is not None and row.attempt == attempt and row.started_at is None:
                    row.started_at = started_at
                    row.revision += 1
            more = holder.control == "run" and free(table, info, limit) >= limit
            reply = _compare(holder, beat.held, more=more)
        self._ring()
        return reply

    async def free_held(self, worker: WorkerInfo, *, limit: int = 1000) -> int:
        with self._lock:
            count = free(self._open_table(), worker, limit)
        self._ring()
        return count

    async def end_worker(self, worker: str, *, now: Now) -> int:
        with self._lock:
            holders = self._open_table().holders
            holder = holders.get(worker)
            if holder is None:
                return 0
            holder.lease_until = 0
            if not holder.running:
                del holders[worker]
            return len(holder.running)

    async def promote_due(self, *, now: Now, limit: int = 1000) -> Promoted:
        with self._lock:
            table = self._open_table()
            rows = table.lanes.take_due(now.wall, limit)
            for row in rows:
                table.promote(row)
            promoted = Promoted(len(rows), table.lanes.next_due())
        self._ring()
        return promoted

    async def expired(self, *, now: Now, limit: int = 1000) -> tuple[Task, ...]:
        with self._lock:
            void = [holder for holder in self._table.holders.values() if holder.void(now.tick, now.boot)]
            rows = [row for holder in void for row in holder.running.values()]
            rows.sort(key=lambda row: row.spec.id)
            return tuple(row.view() for row in rows[:limit])

    async def park_unmet(self, *, now: Now, limit: int = 1000) -> int:
        with self._lock:
            return park_unmet(self._open_table(), now=now, limit=limit)

    async def cancel_many(self, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
        with self._lock:
            table = self._open_table()
            statuses = tuple([cancel(table, task_id, reason, now=now) for task_id in task_ids])
            self._settle(now)
        self._ring()
        return statuses

    async def delete_tasks(self, task_ids: Sequence[str]) -> tuple[bool, ...]:
        with self._lock:
            table = self._open_table()
            return tuple([_delete(table, task_id) for task_id in task_ids])

    async def prune(self, *, now: Now, limit: int = 1000) -> int:
        with self._lock:
            table = self._open_table()
            rows = table.take_outdated(now.wall, limit)
            for row in rows:
                table.forget(row)
            self._requests.prune(now=now)
            for worker, holder in list(table.holders.items()):
                if not holder.running and holder.seen_at <= now.wall - DAY:
                    del table.holders[worker]
            table.gates.forget_tenants(now.wall, limit)
            fires = self._book.prune_fires(now.wall, limit)
            for name in self._book.ended(now.wall):
                if name not in table.runs:
                    self._book.delete(name)
                    table.rang |= RANG_SCHEDULES
        self._ring()
        return max(len(rows), fires)

    @property
    def unfinished(self) -> int:
        """How many tasks have not ended; costs nothing."""
        return self._table.unfinished

    def drop_oldest(self, *, now: Now) -> Task | None:
        """Cancel the ready task with the least (`run_at`, id), reason `overflow`, and return it, or None."""
        with self._lock:
            table = self._open_table()
            row = table.lanes.oldest()
            if row is None:
                return None
            table.withdraw(row)
            table.cancel(row, reasons.OVERFLOW, now=now)
            dropped = row.view()
            self._settle(now)
        self._ring()
        return dropped

    # --- what a running attempt leaves behind ---

    async def append_logs(self, lines: Sequence[LogLine]) -> frozenset[Lease]:
        with self._lock:
            table = self._open_table()
            return frozenset([Lease(line.task_id, line.attempt) for line in lines if not append_log(table, line)])

    async def annotate(self, notes: Sequence[Note]) -> frozenset[Lease]:
        with self._lock:
            table = self._open_table()
            return frozenset([Lease(note.task_id, note.attempt) for note in notes if not annotate(table, note)])

    async def put_functions(self, rows: Sequence[FunctionRow]) -> None:
        with self._lock:
            self._open_table()
            for row in rows:
                self._functions[row.name] = row

    async def control_workers(self, workers: Sequence[str], control: Control, *, now: Now) -> tuple[ControlStatus, ...]:
        with self._lock:
            table = self._open_table()
            statuses = tuple([table.control(worker, control) for worker in workers])
            if "done" in statuses:
                table.rang |= RANG_CONTROL
        self._ring()
        return statuses

    # --- reading ---

    async def list_functions(self) -> tuple[FunctionRow, ...]:
        with self._lock:
            return tuple(self._functions[name] for name in sorted(self._functions))

    async def list_workers(self) -> tuple[WorkerRow, ...]:
        with self._lock:
            return tuple(_worker_rows(sorted(self._table.holders.items())))

    async def counts(self) -> Mapping[tuple[str, State], int]:
        with self._lock:
            tallies = self._table.tallies
            return {(queue, state): n for queue, tally in tallies.items() for state, n in tally.items() if n}

    async def count_held(self, *, limit: int = 10_000) -> Mapping[tuple[str, str], int]:
        with self._lock:
            return self._table.held_counts(limit)

    # --- its own life ---

    async def fence(self) -> Fence | None:
        return None

    async def status(self) -> StoreStatus:
        with self._lock:
            table = self._open_table()
            detail = {"tasks": len(table.rows), "unfinished": table.unfinished}
            return StoreStatus("memory", self._url, 0, detail)

    def join(self, connection: object) -> Joined:
        raise NotSupported(
            "/connection",
            "a store in memory takes part in no transaction",
            hint="enqueue after your commit, or keep the store in PostgreSQL, beside your own tables",
            rule="not_supported",
        )


def _end(table: Table, end: Completion, now: Now) -> bool:
    if table.end(end, now=now) is None:
        return False
    if end.uses:
        record_call(table, end, now=now)
    if end.then:
        submit(table, end.then, now=now)
    return True


def _compare(holder: Holder, held: Iterable[Lease], *, more: bool) -> BeatReply:
    """Say where a worker and the store differ about what it holds."""
    running = holder.running
    believed = {(task_id, attempt) for task_id, attempt in held}
    lost = tuple([Lease(*lease) for lease in held if not _holds(running.get(lease[0]), lease[1])])
    rows: list[Row] = sorted(running.values(), key=lambda row: row.spec.id)
    cancel = tuple([(row.spec.id, row.cancel_reason or reasons.CANCELLED) for row in rows if row.cancel_requested])
    strays = tuple([row.view() for row in rows if (row.spec.id, row.attempt) not in believed])
    return BeatReply(lost, cancel, strays, holder.control, more)


def _holds(row: Row | None, attempt: int) -> bool:
    return row is not None and row.attempt == attempt


def _delete(table: Table, task_id: str) -> bool:
    row = table.rows.get(task_id)
    if row is None or not row.ended:
        return False
    table.forget(row)
    return True


def _worker_rows(holders: Iterable[tuple[str, Holder]]) -> Iterable[WorkerRow]:
    for _, holder in holders:
        if holder.info is not None:
            yield WorkerRow(holder.info, holder.lease_until, holder.seen_at, len(holder.running), holder.control)
