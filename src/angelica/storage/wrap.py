"""Storages around a storage: every verb through one place (`Wrapping`), timed (`Observed`), repeated (`Retrying`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from angelica.clock import SECOND, Now, tick_micros
from angelica.domain.fence import Fence
from angelica.domain.lifecycle import Completion
from angelica.domain.retry import Exponential, delay
from angelica.domain.schedule import Firing
from angelica.domain.task import Attempt, Lease, NewTask, State, Task
from angelica.errors import StorageUnavailable
from angelica.storage.answers import accepted_before
from angelica.storage.protocol import (
    CancelStatus,
    Claim,
    Enqueued,
    Exchanged,
    FunctionRow,
    Joined,
    LogLine,
    Note,
    Promoted,
    PutStatus,
    Request,
    SchedulePut,
    Storage,
    StoreStatus,
    Submitted,
    TaskFilter,
    TaskPage,
    Topic,
)
from angelica.storage.wrap_limits import LIMIT_READS, LIMIT_WRITES, WrappedLimits
from angelica.storage.wrap_schedules import (
    SCHEDULE_READS,
    SCHEDULE_WRITES,
    deleted_by_us,
    fired_by_us,
    put_by_us,
)
from angelica.storage.wrap_workers import WrappedWorkers

T = TypeVar("T")

_WRITES: Final = (
    "enqueue_many exchange heartbeat free_held end_worker promote_due park_unmet cancel_many delete_tasks prune "
    "append_logs annotate put_functions control_workers"
)
WRITES: Final = SCHEDULE_WRITES | LIMIT_WRITES | frozenset(_WRITES.split())
_READS: Final = (
    "expired get_tasks list_tasks read_logs read_attempts recent_attempts list_functions list_workers counts "
    "count_held count_ahead time"
)
READS: Final = SCHEDULE_READS | LIMIT_READS | frozenset(_READS.split())


class Wrapping(WrappedLimits, WrappedWorkers):
    """A storage that does all that `inner` does; every verb goes through `_call`, to be overridden.

    But for `mark`, and `join`: whatever is done in a caller's transaction is the caller's to repeat.
    """

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        return await self._call(
            "enqueue_many", lambda: self.inner.enqueue_many(tasks, now=now, request=request, atomic=atomic)
        )

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        return await self._call("exchange", lambda: self.inner.exchange(ends, claim, now=now, journal=journal))

    async def promote_due(self, *, now: Now, limit: int = 1000) -> Promoted:
        return await self._call("promote_due", lambda: self.inner.promote_due(now=now, limit=limit))

    async def cancel_many(self, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
        return await self._call("cancel_many", lambda: self.inner.cancel_many(task_ids, reason=reason, now=now))

    async def delete_tasks(self, task_ids: Sequence[str]) -> tuple[bool, ...]:
        return await self._call("delete_tasks", lambda: self.inner.delete_tasks(task_ids))

    async def prune(self, *, now: Now, limit: int = 1000) -> int:
        return await self._call("prune", lambda: self.inner.prune(now=now, limit=limit))

    async def append_logs(self, lines: Sequence[LogLine]) -> frozenset[Lease]:
        return await self._call("append_logs", lambda: self.inner.append_logs(lines))

    async def annotate(self, notes: Sequence[Note]) -> frozenset[Lease]:
        return await self._call("annotate", lambda: self.inner.annotate(notes))

    async def put_functions(self, rows: Sequence[FunctionRow]) -> None:
        await self._call("put_functions", lambda: self.inner.put_functions(rows))

    async def get_tasks(self, task_ids: Sequence[str]) -> tuple[Task | None, ...]:
        return await self._call("get_tasks", lambda: self.inner.get_tasks(task_ids))

    async def list_tasks(
        self,
        where: TaskFilter,
        *,
        limit: int = 50,
        after: tuple[int, str] | None = None,
        newest_first: bool = True,
    ) -> TaskPage:
        return await self._call(
            "list_tasks",
            lambda: self.inner.list_tasks(where, limit=limit, after=after, newest_first=newest_first),
        )

    async def read_logs(
        self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> tuple[LogLine, ...]:
        return await self._call(
            "read_logs", lambda: self.inner.read_logs(task_id, attempt=attempt, after=after, limit=limit)
        )

    async def read_attempts(self, task_id: str) -> tuple[Attempt, ...]:
        return await self._call("read_attempts", lambda: self.inner.read_attempts(task_id))

    async def recent_attempts(self, function: str, *, limit: int = 200, among: int = 10_000) -> tuple[Attempt, ...]:
        return await self._call(
            "recent_attempts", lambda: self.inner.recent_attempts(function, limit=limit, among=among)
        )

    async def list_functions(self) -> tuple[FunctionRow, ...]:
        return await self._call("list_functions", self.inner.list_functions)

    async def counts(self) -> Mapping[tuple[str, State], int]:
        return await self._call("counts", self.inner.counts)

    async def count_ahead(self, task: Task, *, limit: int = 10_000) -> int:
        return await self._call("count_ahead", lambda: self.inner.count_ahead(task, limit=limit))

    def mark(self, topic: Topic) -> int:
        return self.inner.mark(topic)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        return await self._call("wait", lambda: self.inner.wait(topic, since, timeout))

    def join(self, connection: object) -> Joined:
        return self.inner.join(connection)

    async def open(self) -> None:
        await self._call("open", self.inner.open)

    async def close(self) -> None:
        await self._call("close", self.inner.close)

    async def time(self) -> Now:
        return await self._call("time", self.inner.time)

    async def fence(self) -> Fence | None:
        return await self._call("fence", self.inner.fence)

    async def status(self) -> StoreStatus:
        return await self._call("status", self.inner.status)


class Observed(Wrapping):
    """Tells `on_call` of every verb that has ended: its name, the seconds it took, and its error or None.

    `wait` is left out: how long nothing happened is no measure of the storage. `on_call` must not raise.
    """

    def __init__(self, inner: Storage, on_call: Callable[[str, float, BaseException | None], None]) -> None:
        super().__init__(inner)
        self._on_call = on_call

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if verb == "wait":
            return await call()
        began = tick_micros()
        try:
            reply = await call()
        except BaseException as error:
            self._on_call(verb, (tick_micros() - began) / SECOND, error)
            raise
        self._on_call(verb, (tick_micros() - began) / SECOND, None)
        return reply


class Retrying(Wrapping):
    """Repeats a call that ended in `StorageUnavailable`, `tries` times in all, with full jitter between.

    Every read and write is repeated (law 8 makes that safe). `open`, `status` and `wait` are not: who asks them
    wants to know, or comes back by itself. A call that failed may have been done all the same. So where a repeat
    would then be answered "it stands already", "stale" or "ended already", the answer of the call that was done is
    found out and given instead. Tasks claimed by a call whose reply was lost come back as `strays`.

    `chance` returns a number in [0, 1); `sleep` waits for seconds; `backoff` is the bound on each wait.
    """

    def __init__(
        self,
        inner: Storage,
        *,
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        tries: int = 6,
        backoff: Exponential | None = None,
    ) -> None:
        super().__init__(inner)
        self._chance = chance
        self._sleep = sleep
        self._tries = tries
        self._backoff = Exponential(base=0.05, cap=1.0, jitter_mode="full") if backoff is None else backoff

    async def _call(self, verb: str, call: Callable[[], Awaitable[T]]) -> T:
        if verb not in WRITES and verb not in READS:
            return await call()
        return (await self._repeat(call))[0]

    async def _repeat(self, call: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the reply, and whether the call was repeated."""
        for count in range(self._tries - 1):
            try:
                return await call(), count > 0
            except StorageUnavailable:
                await self._sleep(delay(self._backoff, count, chance=self._chance()))
        return await call(), self._tries > 1

    async def enqueue_many(
        self, tasks: Sequence[NewTask], *, now: Now, request: Request | None = None, atomic: bool = False
    ) -> Enqueued:
        reply, repeated = await self._repeat(
            lambda: self.inner.enqueue_many(tasks, now=now, request=request, atomic=atomic)
        )
        return replace(reply, items=_created(tasks, reply.items)) if repeated else reply

    async def exchange(
        self, ends: Sequence[Completion], claim: Claim | None, *, now: Now, journal: Sequence[LogLine] = ()
    ) -> Exchanged:
        reply, repeated = await self._repeat(lambda: self.inner.exchange(ends, claim, now=now, journal=journal))
        if repeated and not all(reply.accepted):
            return replace(reply, accepted=await accepted_before(self, ends, reply.accepted))
        return reply

    async def cancel_many(self, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
        statuses, repeated = await self._repeat(lambda: self.inner.cancel_many(task_ids, reason=reason, now=now))
        if not repeated or "finished" not in statuses:
            return statuses
        ours = {task.id for task in await self.get_tasks(task_ids) if task is not None and _ended(task, reason, now)}
        return tuple(
            "cancelled" if status == "finished" and task_ids.index(task_id) == place and task_id in ours else status
            for place, (task_id, status) in enumerate(zip(task_ids, statuses, strict=True))
        )

    async def delete_tasks(self, task_ids: Sequence[str]) -> tuple[bool, ...]:
        deleted, repeated = await self._repeat(lambda: self.inner.delete_tasks(task_ids))
        if not repeated or all(deleted):
            return deleted
        left = await self.get_tasks(task_ids)
        return tuple(done or task is None for done, task in zip(deleted, left, strict=True))

    async def put_schedules(self, puts: Sequence[SchedulePut], *, now: Now) -> tuple[PutStatus, ...]:
        statuses, repeated = await self._repeat(lambda: self.inner.put_schedules(puts, now=now))
        if not repeated or statuses == ("unchanged",) * len(puts):
            return statuses
        return put_by_us(puts, statuses, await self.get_schedules([put.schedule.id for put in puts]))

    async def delete_schedules(self, ids: Sequence[str], *, now: Now, tombstone: bool = True) -> tuple[bool, ...]:
        deleted, repeated = await self._repeat(lambda: self.inner.delete_schedules(ids, now=now, tombstone=tombstone))
        return deleted_by_us(ids, deleted) if repeated else deleted

    async def delete_limits(self, gates: Sequence[str], *, now: Now) -> tuple[bool, ...]:
        deleted, repeated = await self._repeat(lambda: self.inner.delete_limits(gates, now=now))
        return deleted_by_us(gates, deleted) if repeated else deleted

    async def fire_many(self, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
        answers, repeated = await self._repeat(lambda: self.inner.fire_many(firings, now=now))
        if not repeated or all(answers):
            return answers
        return fired_by_us(firings, answers, await self.get_schedules([firing.schedule_id for firing in firings]))


def _created(tasks: Sequence[NewTask], items: Sequence[Submitted]) -> tuple[Submitted, ...]:
    """An id that the engine made and that stands can only have been stored by the call before this one."""
    seen: set[str] = set()
    found = []
    for task, item in zip(tasks, items, strict=True):
        ours = item.status == "existing" and item.task_id == task.id and task.extras.digest is None
        found.append(Submitted(task.id, "created") if ours and task.id not in seen else item)
        seen.add(task.id)
    return tuple(found)


def _ended(task: Task, reason: str, now: Now) -> bool:
    """Whether the task was cancelled before it began, at this moment and for this reason."""
    error = task.error
    return (
        task.state is State.CANCELLED
        and task.finished_at == now.wall
        and error is not None
        and error.message == reason
        and not task.cancel_requested
    )
