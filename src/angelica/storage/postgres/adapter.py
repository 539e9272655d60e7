"""The storage in PostgreSQL, shared by any number of processes of any number of hosts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

from angelica.clock import SECOND, Clock, Now, tick_micros
from angelica.domain.fence import Fence
from angelica.domain.task import Attempt, Lease, NewTask, State, Task
from angelica.errors import StorageUnavailable
from angelica.storage.move.fences import KEY, fence_of
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.callers import recognise
from angelica.storage.postgres.check import check, recount
from angelica.storage.postgres.connections import Options, Raw, connect
from angelica.storage.postgres.exchange_verbs import PostgresExchange
from angelica.storage.postgres.faults import translate
from angelica.storage.postgres.insight import Insight
from angelica.storage.postgres.joined import Home, PostgresJoined
from angelica.storage.postgres.schema import SCHEMA_VERSION, Told, applied, migrate, nobody
from angelica.storage.postgres.transaction import PostgresStatements, PostgresTransaction
from angelica.storage.protocol import (
    Beat,
    BeatReply,
    CancelStatus,
    Control,
    ControlStatus,
    Enqueued,
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
from angelica.storage.verbs import journal as journals
from angelica.storage.verbs import reads, upkeep
from angelica.storage.verbs import workers as worker_verbs
from angelica.storage.verbs.fair import has_tenants, prune_tenants
from angelica.storage.verbs.submit import submit

_SYNCHRONOUS: Final = "select current_setting('synchronous_commit')"
_CLOCK: Final = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"
BOOT: Final = "postgresql"
"""What stands for the boot of the clock that leases are judged by: it is the server's, whatever host asks."""


class PostgresStorage(PostgresExchange):
    """Every verb is one transaction of a connection of the event loop that awaits it.

    `url` is `postgresql://user:password@host:port/database`, with `?schema=` (default `angelica`) and
    `?pooler=transaction` behind a pooler. With `auto_migrate=False` an old schema raises `SchemaMismatch`; an empty
    database is made ready in any case. `connections` bounds those of one event loop. A `clock` replaces the server's.
    `durability="fast"` does not wait for the disk at each commit. `chance` returns a number in [0, 1).
    """

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        auto_migrate: bool = True,
        connections: int = 4,
        durability: str = "full",
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        address = Address.parse(url)
        super().__init__(address, Options(address, most=connections), chance=chance, name=os.urandom(4).hex())
        self._durability = durability
        self._insight = Insight()
        self._clock = clock
        self._auto_migrate = auto_migrate
        self._touched_at = 0
        self._home: Home | None = None

    # --- submitting, and what runs ---

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        # The one statement takes plain and full rows apart, so an id that comes twice would lose its order.
        if request is None and not atomic and len({task.id for task in tasks}) == len(tasks):
            return await self._here()[1].submit(tasks, now.wall)
        work = partial(submit, tasks=tasks, wall=now.wall, atomic=atomic, request=request)
        return await self._here()[1].contention.attempt(tasks, lambda: self._write(work))

    async def heartbeat(self, beat: Beat, *, now: Now, limit: int = 1000) -> BeatReply:
        return await self._write(partial(worker_verbs.beat, told=beat, limit=limit))

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
        async def work(tx: PostgresTransaction) -> int:
            for queue, state, n in await tx.rows("fold_counts"):
                tx.count(queue, state, n)
            return await upkeep.prune(tx, now=now, limit=limit)

        if await self._read(has_tenants):
            await self._write(partial(prune_tenants, now=now, limit=limit))
        return await self._write(work)

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
        return self._ring.mark(topic)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        self._here()
        return await self._ring.wait(topic, since, timeout)

    # --- its own life ---

    async def open(self) -> None:
        if self._pid == os.getpid():
            return
        async with self._direct() as raw:
            await migrate(raw, self.address, allowed=self._auto_migrate)
            fence = fence_of(await raw.fetchval(self._verbs["meta"], KEY))
            store_id = await raw.fetchval(self._verbs["meta"], "store_id")
            self._home = Home(self.address, self._verbs, store_id, await raw.fetchval("select current_database()"))
            self._insight.default = default = str(await raw.fetchval(_SYNCHRONOUS))
        if fence is not None:
            fence.check_open()
        # Each session says it for itself: no setting of the server, now or later, shall lower what was promised.
        kept = "on" if default == "off" else default
        self._options = replace(self._options, synchronous=kept if self._durability == "full" else "off")
        self._pid = os.getpid()
        self._ring.listen()

    def join(self, connection: object) -> Joined:
        caller = recognise(connection)
        if self._home is None:
            raise StorageUnavailable("the storage is not open")
        return PostgresJoined(self._home, caller)

    async def close(self) -> None:
        """Finish what was accepted and let all connections go."""
        if self._pid == os.getpid():
            await self._heads.close()
            await self._close_loops()
        self._pid = 0

    async def time(self) -> Now:
        if self._clock is not None:
            return self._clock.now()
        async with self._here()[0].use() as raw:
            began = tick_micros()
            wall = int(await raw.fetchval(_CLOCK))
            wall += (tick_micros() - began) // 2
        return Now(wall, wall, BOOT)

    async def fence(self) -> Fence | None:
        return fence_of(await self._read(lambda db: db.value("meta", KEY)))

    async def status(self) -> StoreStatus:
        detail, warnings = await self._read(self._insight.look)
        if tick_micros() - self._touched_at > SECOND:
            self._touched_at = tick_micros()
            await self._write(lambda tx: tx.run("put_meta", "touched", str(self._touched_at)))
        return StoreStatus("postgresql", self.address.shown, SCHEMA_VERSION, detail, warnings)

    async def applied(self) -> Mapping[int, str]:
        """Return the checksums of the steps of the schema that have been applied; the storage need not be open."""
        async with self._direct() as raw:
            return await applied(raw, self.address)

    async def migrate(self, told: Told = nobody) -> int:
        """Bring the schema up to date, whatever `auto_migrate` says; the storage need not be open.

        Returns the version. Raises `SchemaMismatch` for a newer or an altered one, and through a pooler.
        """
        async with self._direct() as raw:
            return await migrate(raw, self.address, allowed=True, told=told)

    async def pooled(self) -> bool:
        """Whether a pooler stands before the server: the pid it promised is then not that of the session."""
        async with self._direct() as raw:
            return int(await raw.fetchval("select pg_backend_pid()")) != raw.get_server_pid()

    async def check(self) -> CheckReport:
        """Prove what can be proved about the schema, over one snapshot."""
        async with self._direct() as raw, raw.transaction(isolation="repeatable_read", readonly=True):
            return await check(PostgresStatements(raw, self._verbs, self._prefix), self.address.schema)

    async def recount(self) -> int:
        """Set the counters to what is there; return how many said otherwise. Writers wait meanwhile."""
        async with self._direct() as raw, raw.transaction():
            return await recount(PostgresTransaction(raw, self._verbs, self._prefix))

    @asynccontextmanager
    async def _direct(self) -> AsyncIterator[Raw]:
        """Lend a connection of its own, for what takes long; raises what happens there in our words."""
        raw = await connect(replace(self._options, synchronous=None))
        try:
            yield raw
        except Exception as error:
            raise translate(error) from error
        finally:
            await raw.close(timeout=1.0)
