"""The storage in one SQLite file, shared by any number of processes of one host."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from angelica.clock import SECOND, Clock, Now, tick_micros
from angelica.domain.fence import Fence
from angelica.domain.lifecycle import Completion
from angelica.domain.task import Attempt, Lease, NewTask, State, Task
from angelica.domain.value import maker
from angelica.errors import NotSupported
from angelica.storage.move.fences import KEY, fence_of
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
    TaskFilter,
    TaskPage,
    Topic,
    WorkerInfo,
    WorkerRow,
)
from angelica.storage.report import CheckReport
from angelica.storage.sqlite.backup import Progress, backup_file
from angelica.storage.sqlite.check import check
from angelica.storage.sqlite.claims import claim_tasks
from angelica.storage.sqlite.connect import Durability
from angelica.storage.sqlite.limit_verbs import SqliteLimits
from angelica.storage.sqlite.opened import Opened, Options
from angelica.storage.sqlite.schema import SCHEMA_VERSION
from angelica.storage.sqlite.stale_runs import has_stale_runs, settle_stale_runs
from angelica.storage.sqlite.storeclock import APART, StoreClock
from angelica.storage.sqlite.transaction import SqliteTransaction
from angelica.storage.verbs import journal as journals
from angelica.storage.verbs import reads, upkeep
from angelica.storage.verbs import workers as worker_verbs
from angelica.storage.verbs.ends import write_ends
from angelica.storage.verbs.fair import has_tenants, prune_tenants
from angelica.storage.verbs.limits import refill
from angelica.storage.verbs.runs import settle_runs
from angelica.storage.verbs.submit import submit
from angelica.storage.verbs.transaction import NONE_TAKEN, Transaction

_exchanged: Final[Callable[..., Exchanged]] = maker(Exchanged)
_FRESH: Final = SECOND


class SqliteStorage(SqliteLimits):
    """Every verb is one transaction of the process's one writer, or one read beside it.

    `durability="full"` (default) has every commit on disk before it is acknowledged; `fast` can lose the last commits
    at a loss of power, never at the end of a process. With `auto_migrate=False` an old schema raises `SchemaMismatch`.
    `patience` (microseconds) bounds every wait for other processes. A `clock` replaces the one kept in the file.
    """

    def __init__(
        self,
        path: str | Path,
        clock: Clock | None = None,
        *,
        durability: Durability = "full",
        auto_migrate: bool = True,
        patience: int = 10 * SECOND,
        read_bound: int = 10 * SECOND,
        vfs: str = "",
    ) -> None:
        self.path = Path(path).absolute()
        self._clock = StoreClock(clock)
        self._options = Options(durability, auto_migrate, patience, read_bound, vfs)

    @property
    def clock(self) -> Clock:
        """The clock that all processes of this file share."""
        return self._clock

    @property
    def run_directory(self) -> Path:
        """The private directory beside the file for locks, sockets and files of workers."""
        return self._opened().run.path

    # --- submitting, claiming, ending ---

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        if request is None and not atomic:
            plain: Enqueued = await self._opened().writer.submit(tasks, now.wall)
            return plain
        return await self._write(partial(submit, tasks=tasks, wall=now.wall, atomic=atomic, request=request))

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        async def work(tx: SqliteTransaction) -> Exchanged:
            if journal:
                await journals.append_logs(tx, journal)
            accepted = await write_ends(tx, ends, now=now) if ends else []
            if tx.left:
                left, tx.left = tx.left, Counter()
                await refill(tx, left, now=now)
            claimed, lapsed, kept = NONE_TAKEN if claim is None else await claim_tasks(tx, claim, now=now)
            await settle_runs(tx, now=now)
            gated = any(task.spec.id in tx.counted for task in claimed) if tx.counted else False
            return _exchanged(tuple(accepted), tuple(claimed), tuple(lapsed), gated, kept)

        return await self._write(work)

    async def heartbeat(self, beat: Beat, *, now: Now, limit: int = 1000) -> BeatReply:
        async def work(tx: Transaction) -> BeatReply:
            await self._clock.agree(tx)
            return await worker_verbs.beat(tx, beat, limit=limit)

        return await self._write(work)

    async def free_held(self, worker: WorkerInfo, *, limit: int = 1000) -> int:
        return await self._write(partial(worker_verbs.free_held, worker=worker, limit=limit))

    async def end_worker(self, worker: str, *, now: Now) -> int:
        return await self._write(partial(worker_verbs.end_worker, worker=worker))

    async def promote_due(self, *, now: Now, limit: int = 1000) -> Promoted:
        return await self._write(partial(upkeep.promote, now=now, limit=limit))

    async def expired(self, *, now: Now, limit: int = 1000) -> tuple[Task, ...]:
        return await self._read(partial(worker_verbs.expired, now=now, limit=limit))

    async def park_unmet(self, *, now: Now, limit: int = 1000) -> int:
        if not await self._read(worker_verbs.has_needs):  # as a rule there are none, and nothing to write
            return 0
        return await self._write(partial(worker_verbs.park_unmet, now=now, limit=limit))

    async def cancel_many(self, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
        return await self._write(partial(upkeep.cancel, task_ids=task_ids, reason=reason, now=now))

    async def delete_tasks(self, task_ids: Sequence[str]) -> tuple[bool, ...]:
        return await self._write(partial(upkeep.delete, task_ids=task_ids))

    async def prune(self, *, now: Now, limit: int = 1000) -> int:
        if await self._read(has_stale_runs):
            await self._write(partial(settle_stale_runs, now=now))
        if await self._read(has_tenants):
            await self._write(partial(prune_tenants, now=now, limit=limit))
        return await self._write(partial(upkeep.prune, now=now, limit=limit))

    # --- what a running attempt leaves behind ---

    async def append_logs(self, lines: Sequence[LogLine]) -> frozenset[Lease]:
        return await self._write(partial(journals.append_logs, lines=lines))

    async def annotate(self, notes: Sequence[Note]) -> frozenset[Lease]:
        return await self._write(partial(journals.annotate, notes=notes))

    async def put_functions(self, rows: Sequence[FunctionRow]) -> None:
        await self._write(partial(upkeep.put_functions, rows=rows))

    async def control_workers(self, workers: Sequence[str], control: Control, *, now: Now) -> tuple[ControlStatus, ...]:
        return await self._write(partial(worker_verbs.control, workers=workers, control=control))

    # --- reading ---

    async def get_tasks(self, task_ids: Sequence[str]) -> tuple[Task | None, ...]:
        return await self._read(partial(reads.get_tasks, task_ids=task_ids))

    async def list_tasks(
        self,
        where: TaskFilter,
        *,
        limit: int = 50,
        after: tuple[int, str] | None = None,
        newest_first: bool = True,
    ) -> TaskPage:
        work = partial(reads.list_tasks, where=where, limit=limit, after=after, newest_first=newest_first)
        return await self._read(work)

    async def read_logs(
        self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> tuple[LogLine, ...]:
        return await self._read(partial(reads.read_logs, task_id=task_id, attempt=attempt, after=after, limit=limit))

    async def read_attempts(self, task_id: str) -> tuple[Attempt, ...]:
        return await self._read(partial(reads.read_attempts, task_id=task_id))

    async def recent_attempts(self, function: str, *, limit: int = 200, among: int = 10_000) -> tuple[Attempt, ...]:
        return await self._read(partial(reads.recent_attempts, function=function, limit=limit, among=among))

    async def list_functions(self) -> tuple[FunctionRow, ...]:
        return await self._read(reads.list_functions)

    async def list_workers(self) -> tuple[WorkerRow, ...]:
        return await self._read(reads.list_workers)

    async def counts(self) -> Mapping[tuple[str, State], int]:
        return await self._read(reads.counts)

    async def count_held(self, *, limit: int = 10_000) -> Mapping[tuple[str, str], int]:
        return await self._read(partial(reads.count_held, limit=limit))

    async def count_ahead(self, task: Task, *, limit: int = 10_000) -> int:
        return await self._read(partial(reads.count_ahead, task=task, limit=limit))

    # --- wake-ups ---

    def mark(self, topic: Topic) -> int:
        return self._opened().ring.mark(topic)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        return await self._opened().ring.wait(topic, since, timeout)

    # --- its own life ---

    async def open(self) -> None:
        if self._open is None:
            self._open = await asyncio.to_thread(Opened, self.path, self._clock, self._options)
            self._clock.warn()

    async def close(self) -> None:
        """Finish what was accepted and let the file go."""
        opened, self._open = self._open, None
        if opened is not None:
            await asyncio.sleep(0)  # submits of this turn of the loop are handed to the writer at its end
            await asyncio.to_thread(opened.close)

    async def time(self) -> Now:
        return self._clock.now()

    async def fence(self) -> Fence | None:
        return fence_of(await self._read(lambda db: db.value("meta", KEY)))

    async def accept_clock(self) -> Now:
        """Take over the host's wall clock as it is now; other processes follow at their next heartbeat."""
        await self._write(self._clock.renew)
        return self._clock.now()

    async def status(self) -> StoreStatus:
        opened = self._opened()
        if tick_micros() - opened.writer.committed_at > _FRESH:
            touched = str(self._clock.now().wall)
            await self._write(lambda tx: tx.run("put_meta", "touched", touched))
        apart = self._clock.apart
        detail = {**opened.sizes(), "clock_apart_ms": apart // 1000, "clock_ok": abs(apart) <= APART}
        return StoreStatus("sqlite", f"sqlite:///{self.path}", SCHEMA_VERSION, detail)

    def join(self, connection: object) -> Joined:
        raise NotSupported(
            "/connection",
            "the store is an SQLite file, and the SQLite library of your driver is another one than ours: two of them "
            "on one file corrupt it",
            hint="enqueue after your commit (Django: transaction.on_commit), or keep the store in PostgreSQL",
            rule="not_supported",
        )

    async def check(self) -> CheckReport:
        """Prove what can be proved about the file."""
        report: CheckReport = await self._opened().readers.read(check, bounded=False)
        return report

    async def recount(self) -> int:
        """Set the counters to what is there; return how many said otherwise."""
        return await self._write(upkeep.recount)

    async def backup(self, target: str | Path, progress: Progress | None = None) -> int:
        """Copy one consistent moment to `target` while work goes on; return its size in bytes.

        `progress` is called in another thread, with (pages done, pages in all).
        """
        return await asyncio.to_thread(backup_file, self.path, Path(target), progress)

    async def vacuum(self) -> None:
        """Give free pages back to the file system; writers wait meanwhile."""
        await asyncio.to_thread(self._opened().vacuum)
