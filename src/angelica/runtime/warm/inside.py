"""Inside a warm child: one assignment after the other, in the main thread, as the worker's own executors would."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context as Variables
from functools import partial
from typing import Any, Final

from angelica.clock import SystemClock, tick_micros
from angelica.current import CURRENT
from angelica.domain.outcome import Outcome
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps, Interrupted
from angelica.runtime.code import Calls, Code, Known
from angelica.runtime.context import Context
from angelica.runtime.startfile import BEGUN
from angelica.runtime.warm.meter import Meter
from angelica.runtime.warm.post import Post
from angelica.runtime.warm.wire import Began, Declined, Setup, Work, ended_of, task_of

_NOT_CALLED: Final = BaseException()
_KINDS: Final = frozenset({"process"})


class Inside:
    """Runs assignments until there are no more. `code` holds the functions that this child knows.

    SIGTERM stops the attempt that the black box names: `Interrupted` is raised in a plain function, a coroutine is
    cancelled. It comes to the main thread only, and only while the handler is inside; any other SIGTERM means nothing
    here, since the worker decides when its children end.
    """

    def __init__(self, post: Post, code: Code, setup: Setup, scrub: Callable[[str], str]) -> None:
        self._post = post
        self._calls = Calls(code, _KINDS, inside=True)
        self._clock = SystemClock(boot="")
        self._steps = AttemptSteps(wall=self._wall)
        self._sink = post.journal(self._clock, setup, scrub)
        self._limit = setup.checkpoint_limit
        self._marks = _marks(setup.start_file)
        self._meter = Meter()
        self._pid = os.getpid()
        self._running: Assignment | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thrown = False

    def run(self) -> None:
        """Work until the worker wants no more."""
        signal.signal(signal.SIGTERM, self._on_term)
        while (work := self._post.next()) is not None:
            self._take(work)
        self._post.send()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this child's coroutines, the same for all of them."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def close(self) -> None:
        """Close the event loop."""
        if self._loop is not None:
            with suppress(Exception):  # what a library left there
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
                self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _wall(self) -> int:
        return self._clock.wall()

    # -- one assignment ---------------------------------------------------------------------------------------------

    def _take(self, work: Work) -> None:
        self._clock.shift_to(work.offset)
        known = self._calls.known.get(work.function) or self._calls.learn(work.function)
        if known is None or self._wall() >= work.grant:
            self._post.tell(Declined(work.seq, known is None))
            return
        assignment = self._assignment(work, known)
        cpu = self._meter.begin()
        began = tick_micros()
        assignment.started_at = began + work.offset
        timeout = work.timeout
        assignment.ends_by = None if timeout is None else assignment.started_at + timeout
        self._post.seq = work.seq
        self._post.box.begin()
        self._marks[work.slot] = BEGUN  # here, and not at the worker, which hears of it a moment later
        self._post.tell(Began(work.seq, assignment.started_at, cpu))
        self._post.send()
        outcome = Variables().run(self._attempt, assignment)
        if os.getpid() != self._pid:  # the handler has forked, and this is the copy that came back
            os._exit(0)
        usage = self._meter.end()
        took = tick_micros() - began
        self._post.end(assignment, ended_of(work.seq, outcome, took=took, rss=self._meter.rss, usage=usage))
        self._tidy_up()

    def _assignment(self, work: Work, known: Known) -> Assignment:
        function, call = known
        note = partial(self._post.note, work.seq)

        def contexts(of: Assignment) -> Context:
            return Context(of, wall=self._wall, note=note, limit=self._limit)

        return Assignment(task_of(work), function, call, self._sink, work.slot, contexts)

    def _attempt(self, assignment: Assignment) -> Outcome:
        CURRENT.set(assignment)
        steps = self._steps
        self._running = assignment
        try:
            args, kwargs = steps.arguments(assignment)
        except BaseException as error:  # noqa: BLE001 - whatever is wrong with stored arguments ends this attempt only
            return steps.unfit(assignment, error)
        finally:
            self._hear(assignment)
        run = self._await if assignment.code.is_async else self._call
        return run(assignment, args, kwargs)

    def _call(self, assignment: Assignment, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        steps = self._steps
        value: object = None
        failure: BaseException | None = _NOT_CALLED
        try:
            self._thrown = False
            assignment.interrupt = self._throw
            if assignment.stop_reason is not None:  # told between the last look and now
                return steps.stopped(assignment)
            try:
                value = assignment.call(*args, **kwargs)
                failure = None
            except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt end the attempt, not us
                failure = error
            assignment.interrupt = None
        except Interrupted as error:  # it came outside the handler's lines; there is one at most
            assignment.interrupt = None
            if failure is _NOT_CALLED:
                failure = error
        return steps.returned(assignment, value) if failure is None else steps.raised(assignment, failure)

    def _throw(self) -> None:
        if not self._thrown:
            self._thrown = True
            raise Interrupted

    def _await(self, assignment: Assignment, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        loop, steps = self.loop, self._steps
        task = loop.create_task(assignment.call(*args, **kwargs))
        # From a signal handler, so thread-safe: it also wakes a loop that is waiting for nothing.
        assignment.interrupt = interrupt = partial(loop.call_soon_threadsafe, task.cancel)
        if assignment.stop_reason is not None:  # told between the last look and now
            interrupt()
        try:
            value = loop.run_until_complete(task)
        except BaseException as error:  # noqa: BLE001 - as above
            return steps.raised(assignment, error)
        finally:
            assignment.interrupt = None
        return steps.returned(assignment, value)

    # -- being told to stop -----------------------------------------------------------------------------------------

    def _on_term(self, _number: int, _frame: object) -> None:
        assignment = self._running
        if assignment is None:
            return
        self._hear(assignment)
        if assignment.stop_reason is not None and assignment.interrupt is not None:
            assignment.interrupt()

    def _hear(self, assignment: Assignment) -> None:
        said = self._post.box.hear_stop(self._post.seq)
        if said is not None and assignment.stop_reason is None:
            assignment.stop_message = said[1]
            assignment.stop_reason = said[0]

    def _tidy_up(self) -> None:
        """Take back what a handler may have changed, and reap what it has left dead."""
        self._running = None
        signal.signal(signal.SIGTERM, self._on_term)
        with suppress(ChildProcessError):  # none at all, nearly always
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _marks(path: str | None) -> Any:
    """Return the worker's start file as bytes that can be stored into; where there is none, the marks go nowhere."""
    if path is None:
        return bytearray(1)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
