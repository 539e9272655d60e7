"""Draining: runs the tasks that are due, one after the other, in the test's own process and without a worker."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import copy_context
from typing import Any, Final

from angelica.clock import SECOND, ManualClock
from angelica.current import CURRENT
from angelica.domain import reasons
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Outcome, Released
from angelica.domain.task import Task
from angelica.engine import Engine
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.context import Context
from angelica.runtime.journal import Journal
from angelica.runtime.scheduler import Scheduler
from angelica.storage.protocol import Beat, Claim, Note, Storage, WorkerInfo

WORKER: Final = "test-drain"
BATCH: Final = 100
LIMIT: Final = 100_000
"""A drain that runs more attempts than this is taken for endless."""
_ROOM: Final = (("async", BATCH), ("thread", BATCH), ("process", BATCH))


class Drain:
    """Fires, claims and runs what is due until nothing is; retries and snoozes wait until the clock is moved.

    With `with_scheduled` it moves the manual clock to the next due task itself, until no task is left at all; fires
    that are still to come are not waited for, since they need not end.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._steps = AttemptSteps(wall=self._wall)
        self._running = False

    def _wall(self) -> int:
        return self._engine.clock.wall()  # a test may have changed the clock

    async def __call__(self, *, with_scheduled: bool = False) -> Counter[str]:
        """Run what is due; return how many attempts ended in which way (`succeeded`, `failed`, `snoozed` …)."""
        ends: Counter[str] = Counter()
        if self._running:  # a handler that enqueues under `inline` is inside a drain already
            return ends
        self._running = True
        try:
            while sum(ends.values()) < LIMIT:
                await self._fire()
                batch = [*await self._claim(self._engine.storage), *await self._claim(self._engine.lane)]
                if not batch and not (with_scheduled and await self._to_next_due()):
                    return ends
                for storage, task in batch:
                    ends[await self._run(storage, task)] += 1
        finally:
            self._running = False
        raise AssertionError(f"more than {LIMIT} attempts: a task enqueues itself without end")

    async def _fire(self) -> None:
        """Make the runs of all schedules that are due; a moment on which the clock stands fires once."""
        engine = self._engine
        scheduler = Scheduler(engine.storage, means=engine.means, poll=0.0)
        for _ in range(LIMIT):
            _, written = await scheduler.tick()
            if not written:
                return
        raise AssertionError(f"more than {LIMIT} passes: a schedule is due without end")

    async def _claim(self, storage: Storage) -> list[tuple[Storage, Task]]:
        now = self._engine.clock.now()
        info = WorkerInfo(WORKER, "test", now.boot, 0, 0, self._engine.version, now.wall, BATCH)
        await storage.heartbeat(Beat(info, lease_until=now.tick + 10**12, seen_at=now.wall), now=now, limit=LIMIT)
        await storage.promote_due(now=now, limit=BATCH)
        claim = Claim(WORKER, 1, _ROOM)  # one at a time, so that the order is the store's and cancels are seen
        reply = await storage.exchange([], claim, now=now)
        return [(storage, task) for task in reply.claimed]

    async def _to_next_due(self) -> bool:
        clock = self._engine.clock
        if not isinstance(clock, ManualClock):
            raise AssertionError("with_scheduled needs the manual clock: take the fixture angelica_clock")  # noqa: TRY004
        moments = []
        for storage in (self._engine.storage, self._engine.lane):
            due = (await storage.promote_due(now=clock.now(), limit=BATCH)).next_due
            if due is not None:
                moments.append(due)
        if not moments:
            return False
        clock.advance(max(min(moments) - clock.wall(), 0))
        return True

    async def _run(self, storage: Storage, task: Task) -> str:
        engine = self._engine
        function = engine.functions.get(task.function)
        journal = Journal(engine.clock)
        notes: list[Note] = []
        started_at = engine.clock.wall()
        if function is None:
            outcome: Outcome = Released(held=reasons.UNKNOWN_FUNCTION)
            lines = []
        else:

            def contexts(assignment: Assignment) -> Context:
                limit = engine.settings.checkpoint_limit
                return Context(assignment, wall=engine.clock.wall, note=notes.append, limit=limit)

            call = engine.functions.call_of(function)
            assignment = Assignment(task, function, call, journal, 0, contexts)
            assignment.started_at = started_at
            outcome = await self._attempt(assignment)
            lines = journal.close(assignment)
        if notes:
            await storage.annotate(notes)
        end = complete(task, outcome, now=engine.clock.now(), chance=0.0, started_at=started_at)
        await storage.exchange([end], None, now=engine.clock.now(), journal=lines)
        return end.outcome

    async def _attempt(self, assignment: Assignment) -> Outcome:
        """Run one attempt in a context of its own: coroutines on this loop, plain functions in a thread."""
        context = copy_context()
        context.run(CURRENT.set, assignment)
        try:
            args, kwargs = self._steps.arguments(assignment)
        except BaseException as error:  # noqa: BLE001 - as the executors do
            return self._steps.unfit(assignment, error)
        call: asyncio.Future[Outcome]
        if assignment.code.is_async:
            coroutine = self._awaited(assignment, args, kwargs)
            call = asyncio.get_running_loop().create_task(coroutine, context=context)
        else:
            call = asyncio.ensure_future(asyncio.to_thread(context.run, self._called, assignment, args, kwargs))
        timeout = assignment.task.policy.timeout
        done, _ = await asyncio.wait({call}, timeout=None if timeout is None else timeout / SECOND)
        if not done:
            assignment.stop_reason = "timeout"
            call.cancel()
            await asyncio.wait({call})
        return self._steps.stopped(assignment) if call.cancelled() else call.result()

    async def _awaited(self, assignment: Assignment, args: Any, kwargs: Any) -> Outcome:
        try:
            value = await assignment.call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - as the executors do
            return self._steps.raised(assignment, error)
        return self._steps.returned(assignment, value)

    def _called(self, assignment: Assignment, args: Any, kwargs: Any) -> Outcome:
        try:
            value = assignment.call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - as the executors do
            return self._steps.raised(assignment, error)
        return self._steps.returned(assignment, value)
