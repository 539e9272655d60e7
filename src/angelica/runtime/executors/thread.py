"""The `thread` executor: plain functions in threads that pull their next assignment themselves."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections import deque
from collections.abc import Iterable
from contextvars import Context
from typing import Final

from angelica.current import CURRENT
from angelica.domain.outcome import Outcome
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps, Interrupted
from angelica.runtime.executors.base import Begin, Done

FIRST_WAKE: Final = 4
RAMP: Final = 0.001
"""Seconds between wakes of more threads while a backlog stands; each wake doubles the number."""

_NOT_CALLED: Final = BaseException()


class ThreadExecutor:
    """Up to `slots` plain functions at once.

    A handler that must stop gets `Interrupted` thrown in; one that is inside a C call does not see it until that
    returns. Until then the slot and the lease are kept, so two attempts of one task never overlap.
    """

    kind = "thread"
    problem: str | None = None

    def __init__(self, slots: int, *, steps: AttemptSteps, begin: Begin, done: Done) -> None:
        self.slots = slots
        self._steps = steps
        self._begin = begin
        self._done = done
        self._backlog: deque[Assignment] = deque()
        self._ended: deque[tuple[Assignment, Outcome]] = deque()
        self._collecting = False
        self._idle: deque[_Thread] = deque()
        self._threads: list[_Thread] = []
        self._submitted = 0
        self._collected = 0
        self._ramping = False
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def load(self) -> int:
        return self._submitted - self._collected

    def submit(self, assignments: Iterable[Assignment]) -> None:
        self._loop = asyncio.get_running_loop()
        batch = list(assignments)
        self._submitted += len(batch)
        self._backlog.extend(batch)
        self._wake(min(len(batch), FIRST_WAKE))
        if self._backlog and not self._ramping:
            self._ramping = True
            self._loop.call_later(RAMP, self._ramp, FIRST_WAKE)

    def withdraw(self) -> list[Assignment]:
        waiting: list[Assignment] = []
        while True:
            try:
                waiting.append(self._backlog.popleft())
            except IndexError:
                self._collected += len(waiting)
                return waiting

    def first_waiting(self) -> Assignment | None:
        try:
            return self._backlog[0]
        except IndexError:
            return None

    def recall(self, assignment: Assignment) -> bool:
        try:
            self._backlog.remove(assignment)
        except ValueError:
            return False
        self._collected += 1
        return True

    async def halt(self) -> None:
        """A thread cannot be killed."""

    async def close(self) -> None:
        self._closed = True
        for thread in self._threads:
            thread.wake.release()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, 0.2)

    def _ramp(self, wanted: int) -> None:
        """A backlog still stands: its handlers block, so more threads are needed."""
        if self._closed or not self._backlog:
            self._ramping = False
            return
        self._wake(min(wanted, len(self._backlog)))
        assert self._loop is not None
        self._loop.call_later(RAMP, self._ramp, wanted * 2)

    def _wake(self, wanted: int) -> None:
        for _ in range(wanted):
            try:
                self._idle.pop().wake.release()
            except IndexError:
                if len(self._threads) >= self.slots:
                    return
                thread = _Thread(self, len(self._threads) + 1)
                self._threads.append(thread)
                thread.start()

    def finished(self, assignment: Assignment, outcome: Outcome) -> None:
        """Hand an ended attempt to the event loop; called in its thread. One call wakes the loop for many."""
        self._ended.append((assignment, outcome))
        if not self._collecting and self._loop is not None:
            self._collecting = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop is closed: the process is leaving, the lease will run out
                self._closed = True

    def _collect(self) -> None:
        self._collecting = False
        while self._ended:
            assignment, outcome = self._ended.popleft()
            self._collected += 1
            self._done(assignment, outcome)

    def next_assignment(self, thread: _Thread) -> Assignment | None:
        """Return the next assignment, or None after putting the thread to rest once; called in that thread."""
        try:
            return self._backlog.popleft()
        except IndexError:
            self._idle.append(thread)
        if self._backlog or self._closed:  # it came between the look and the rest
            try:
                self._idle.remove(thread)
            except ValueError:  # somebody has just taken it to wake it up
                thread.wake.acquire()
            return None
        thread.wake.acquire()
        return None

    @property
    def closed(self) -> bool:
        return self._closed

    def attempt(self, thread: _Thread, assignment: Assignment) -> Outcome:
        """Run one attempt in its own context; called in its thread."""
        refusal = self._begin(assignment)
        if refusal is not None:
            return refusal
        CURRENT.set(assignment)
        try:
            args, kwargs = self._steps.arguments(assignment)
        except BaseException as error:  # noqa: BLE001 - whatever is wrong with stored arguments ends this attempt only
            return self._steps.unfit(assignment, error)
        return thread.call(self._steps, assignment, args, kwargs)


class _Thread(threading.Thread):
    """One thread of the executor."""

    def __init__(self, executor: ThreadExecutor, number: int) -> None:
        super().__init__(name=f"angelica-thread-{number}", daemon=True)
        self.wake = threading.Semaphore(0)
        self._executor = executor
        self._guard = threading.Lock()
        self._stoppable: Assignment | None = None
        self._thrown = False

    def run(self) -> None:
        executor = self._executor
        while not executor.closed:
            assignment = executor.next_assignment(self)
            if assignment is not None:
                outcome = Context().run(executor.attempt, self, assignment)
                executor.finished(assignment, outcome)

    def call(
        self, steps: AttemptSteps, assignment: Assignment, args: list[object], kwargs: dict[str, object]
    ) -> Outcome:
        value: object = None
        failure: BaseException | None = _NOT_CALLED
        try:
            with self._guard:
                if assignment.stop_reason is not None:
                    return steps.stopped(assignment)
                self._thrown = False
                self._stoppable = assignment
                assignment.interrupt = self._interrupt
            try:
                value = assignment.call(*args, **kwargs)
                failure = None
            except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt end the attempt, not us
                failure = error
            self._close()
        except Interrupted as error:  # it came outside the handler's lines; there is one at most, so none comes now
            self._close()
            if failure is _NOT_CALLED:
                failure = error
        return steps.returned(assignment, value) if failure is None else steps.raised(assignment, failure)

    def _close(self) -> None:
        """Close the attempt for interrupts; one that was thrown and has not landed is taken back."""
        with self._guard:
            assignment, self._stoppable = self._stoppable, None
            if assignment is not None:
                assignment.interrupt = None
            if self._thrown and self.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), None)

    def _interrupt(self) -> None:
        with self._guard:
            if self._stoppable is None or self._thrown or self.ident is None:
                return
            self._thrown = True
            # CPython's own way to raise in another thread: lands at that thread's next bytecode.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(Interrupted))
