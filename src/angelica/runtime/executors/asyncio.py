"""The `async` executor: coroutines on the worker's event loop, each in a long-lived runner of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextvars import Context, copy_context
from typing import Final

from angelica.current import CURRENT
from angelica.domain.outcome import Outcome
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.executors.base import Begin, Done

SLICE: Final = 50
"""Handlers that never wait are run so many in a row before other work of the loop gets its turn."""

LAST_WORDS: Final = 1.0
"""Seconds that handlers get to clean up when the executor closes; one that does not stop is abandoned."""


class AsyncExecutor:
    """Up to `slots` coroutines at once.

    A runner is an asyncio task that runs one attempt after the other. An attempt has its runner for itself from
    beginning to end, so `asyncio.timeout`, task groups and anyio inside it act on a task of its own, and a handler
    that never waits costs no trip through the loop. A runner whose handler left context variables changed is
    replaced, so nothing leaks into the next attempt.
    """

    kind = "async"
    problem: str | None = None

    def __init__(self, slots: int, *, steps: AttemptSteps, begin: Begin, done: Done) -> None:
        self.slots = slots
        self._steps = steps
        self._begin = begin
        self._done = done
        self._backlog: deque[Assignment] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._runners: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._step = 1
        self._pumping = False
        self._clean: Context | None = None
        self._closing = False

    def load(self) -> int:
        return self._busy + len(self._backlog)

    def submit(self, assignments: Iterable[Assignment]) -> None:
        self._backlog.extend(assignments)
        if self._backlog and not self._pumping:
            self._step = 1
            self._pump()

    def withdraw(self) -> list[Assignment]:
        waiting = list(self._backlog)
        self._backlog.clear()
        return waiting

    def first_waiting(self) -> Assignment | None:
        return self._backlog[0] if self._backlog else None

    def recall(self, assignment: Assignment) -> bool:
        try:
            self._backlog.remove(assignment)
        except ValueError:
            return False
        return True

    async def halt(self) -> None:
        """A coroutine cannot be killed."""

    async def close(self) -> None:
        self._closing = True
        runners = list(self._runners)
        for runner in runners:
            runner.cancel()
        if runners:
            await asyncio.wait(runners, timeout=LAST_WORDS)

    def _pump(self) -> None:
        """Wake runners while there is a backlog: one first, twice as many each turn of the loop.

        A first runner whose handlers never wait empties the backlog alone; handlers that do wait need one runner each.
        """
        wanted = min(self._step, len(self._backlog))
        self._step = min(self._step * 2, 256)
        for _ in range(wanted):
            if self._idle:
                wake = self._idle.pop()
                if not wake.done():  # else what a handler left behind has cancelled its runner
                    wake.set_result(None)
            elif len(self._runners) < self.slots:
                self._start_runner()
            else:
                break
        if self._backlog and (self._idle or len(self._runners) < self.slots):
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)
        else:
            self._pumping = False

    def _start_runner(self) -> None:
        if self._clean is None:
            self._clean = copy_context()
            self._clean.run(CURRENT.set, None)
        runner = asyncio.get_running_loop().create_task(self._run(), context=self._clean.copy())
        self._runners.add(runner)
        runner.add_done_callback(self._runner_ended)

    def _runner_ended(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        if self._backlog and not self._pumping:
            self._pump()

    async def _run(self) -> None:
        backlog = self._backlog
        runner = asyncio.current_task()
        assert runner is not None
        before = copy_context()
        in_a_row = 0
        while True:
            while backlog:
                assignment = backlog.popleft()
                self._busy += 1
                try:
                    self._done(assignment, await self._attempt(assignment, runner))
                finally:
                    self._busy -= 1
                CURRENT.set(None)
                if copy_context() != before:
                    return  # the handler changed this task's context: a fresh runner takes over
                in_a_row += 1
                if in_a_row >= SLICE:
                    in_a_row = 0
                    await asyncio.sleep(0)
            if self._closing:
                return
            wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(wake)
            await wake

    async def _attempt(self, assignment: Assignment, runner: asyncio.Task[None]) -> Outcome:
        refusal = self._begin(assignment)
        if refusal is not None:
            return refusal
        CURRENT.set(assignment)
        steps = self._steps
        try:
            args, kwargs = steps.arguments(assignment)
        except BaseException as error:  # noqa: BLE001 - whatever is wrong with stored arguments ends this attempt only
            return steps.unfit(assignment, error)
        assignment.interrupt = runner.cancel
        try:
            if assignment.stop_reason is not None:
                return steps.stopped(assignment)
            value = await assignment.call(*args, **kwargs)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and assignment.stop_reason is None and self._closing:
                raise
            return steps.raised(assignment, error)
        else:
            return steps.returned(assignment, value)
        finally:
            assignment.interrupt = None
            while runner.cancelling():
                runner.uncancel()
