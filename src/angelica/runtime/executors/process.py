"""The `process` executor: functions in warm child processes, which can be killed and may die without harm to others."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from angelica.clock import MILLISECOND, tick_micros
from angelica.domain import reasons
from angelica.domain.outcome import Crashed, LeaseExpired, Outcome, Released
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.executors.base import Done
from angelica.runtime.journal import Journal
from angelica.runtime.settle import Death
from angelica.runtime.warm.child import WarmChild
from angelica.runtime.warm.crew import Crew, ProcessSettings
from angelica.runtime.warm.forensics import LAST_LINES, crash_error
from angelica.runtime.warm.meter import usage_of_dead
from angelica.runtime.warm.spawn import Remains
from angelica.runtime.warm.wire import (
    Began,
    Declined,
    Ended,
    Lines,
    Noted,
    Ready,
    Unfit,
    Up,
    WireError,
    check_json,
    outcome_of,
)
from angelica.storage.protocol import Note

AHEAD: Final = 4 * MILLISECOND
"""What a child may have before it beside what it runs, as measured run time: enough to hide the way to and fro."""

MOST_AHEAD: Final = 32
WEIGHT: Final = 0.1
LOOK: Final = 0.01
"""Seconds until what waits behind a handler that takes its time goes to a child that is idle."""


class Trust(Protocol):
    """What knows how far the lease goes."""

    trusted_until: int
    """Wall microseconds."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the worker does for this executor, on its event loop.

    `trust` says until when the worker trusts its lease; `begun` notes that an attempt has begun (wall microseconds);
    `note` takes progress and checkpoints.
    """

    wall: Callable[[], int]
    trust: Trust
    begun: Callable[[Assignment, int], None]
    note: Callable[[Note], None]
    journal: Journal
    chance: Callable[[], float]


class ProcessExecutor:
    """Up to `slots` functions at once, each in a child of its own that stays warm for the next.

    What must stop gets SIGTERM, to its whole process group, and SIGKILL to all that it has started if it is still
    there after the grace time. A child's death in an attempt ends that attempt as crashed, and nothing else.
    """

    kind = "process"

    def __init__(self, settings: ProcessSettings, *, steps: AttemptSteps, desk: Desk, done: Done) -> None:
        self.slots = settings.slots
        self._settings = settings
        self._steps = steps
        self._desk = desk
        self._done = done
        self._backlog: deque[Assignment] = deque()
        self._crew = Crew(settings, chance=desk.chance, on_news=self._hear, on_death=self._died, on_change=self._feed)
        self._mean: float | None = None
        self._balancing = False

    @property
    def problem(self) -> str | None:
        return self._crew.problem

    def load(self) -> int:
        return len(self._backlog) + sum(child.load for child in self._crew.children)

    def submit(self, assignments: Iterable[Assignment]) -> None:
        self._backlog.extend(assignments)
        self._feed()

    def withdraw(self) -> list[Assignment]:
        for child in self._crew.children:
            self._take_back(child)
        waiting = list(self._backlog)
        self._backlog.clear()
        return waiting

    def first_waiting(self) -> Assignment | None:
        if self._crew.starting:  # what waits for a child that is on its way does not wait in vain
            return None
        if self._backlog:
            return self._backlog[0]
        return next((each for child in self._crew.children for each in child.window.values()), None)

    def recall(self, assignment: Assignment) -> bool:
        for child in self._crew.children:
            if assignment in child.window.values():
                self._take_back(child)
        try:
            self._backlog.remove(assignment)
        except ValueError:  # its child has taken it, and will say so
            return False
        finally:
            self._feed()
        return True

    async def halt(self) -> None:
        await self._crew.halt()

    async def close(self) -> None:
        await self._crew.close()

    # -- giving out -------------------------------------------------------------------------------------------------

    def _feed(self) -> None:
        """Share the backlog out among the children; start more of them if there is more than they can take."""
        self.slots = self._settings.slots if self._crew.able else 0
        if not self._backlog or self._crew.closed:
            return
        open_children = self._crew.open()
        if open_children and self._desk.wall() >= self._desk.trust.trusted_until:
            self._hand_back()
        depth = 1 + self._ahead()
        for left, child in zip(range(len(open_children), 0, -1), sorted(open_children, key=_load), strict=True):
            if child.load > depth // 2:  # refilled by halves, so that several travel in one frame
                continue
            share = -(-len(self._backlog) // left)
            count = min(depth - child.load, share)
            if chosen := self._next(count):
                self._give(child, chosen)
        if self._backlog:
            self._crew.want(len(self._backlog))
        elif not self._balancing and any(child.window for child in open_children):
            self._balancing = True
            asyncio.get_running_loop().call_later(LOOK, self._balance)

    def _next(self, count: int) -> list[Assignment]:
        """Take the next ones out of the backlog, without those that were told to stop before they began."""
        taken: list[Assignment] = []
        while self._backlog and len(taken) < count:
            assignment = self._backlog.popleft()
            if assignment.stop_reason is None:
                taken.append(assignment)
            else:
                self._done(assignment, Released())
        return taken

    def _hand_back(self) -> None:
        """Begin nothing, since the lease is not trusted."""
        refused, self._backlog = self._backlog, deque()
        for assignment in refused:
            self._done(assignment, Released())

    def _give(self, child: WarmChild, assignments: list[Assignment]) -> None:
        wall = self._desk.wall()
        child.give(assignments, grant=self._desk.trust.trusted_until, offset=wall - tick_micros())

    def _ahead(self) -> int:
        """Return how many a child may have before it: none until it is known that they are quick."""
        return 0 if self._mean is None else min(int(AHEAD / max(self._mean, 1.0)), MOST_AHEAD)

    def _balance(self) -> None:
        """Let an idle child have what waits behind another one's handler."""
        self._balancing = False
        children = self._crew.open()
        if any(child.load == 0 for child in children):
            for child in children:
                self._take_back(child)
        self._feed()
        if not self._balancing and any(child.window for child in self._crew.children):
            self._balancing = True
            asyncio.get_running_loop().call_later(LOOK, self._balance)

    def _take_back(self, child: WarmChild) -> None:
        if child.window:
            self._backlog.extendleft(reversed(child.take_back()))

    # -- hearing ----------------------------------------------------------------------------------------------------

    def _hear(self, child: WarmChild, news: Sequence[Up]) -> None:
        for each in news:
            match each:
                case Ended():
                    self._ended(child, each)
                case Began():
                    self._began(child, each)
                case Lines():
                    if child.running is not None and each.seq == child.running_seq:
                        self._desk.journal.take_over(child.running, each.lines)
                case Noted():
                    self._noted(child, each)
                case Declined():
                    self._declined(child, each)
                case Ready():
                    self._crew.ready(child, frozenset(each.functions))
                case Unfit():
                    child.failure, child.detail = each.error, each.detail
        self._feed()

    def _began(self, child: WarmChild, news: Began) -> None:
        assignment = child.window.pop(news.seq, None)
        if assignment is None or child.running is not None:
            raise WireError(f"{news.seq} began, which it does not have")
        child.running, child.running_seq, child.cpu_before = assignment, news.seq, news.cpu
        self._desk.begun(assignment, min(news.at, self._desk.wall()))

        def interrupt() -> None:
            self._stop(child, assignment)

        assignment.interrupt = interrupt
        if assignment.stop_reason is not None:  # told while it was on its way
            interrupt()

    def _ended(self, child: WarmChild, news: Ended) -> None:
        assignment = child.running
        if assignment is None or news.seq != child.running_seq:
            raise WireError(f"{news.seq} ended, which it does not run")
        outcome = outcome_of(news)
        child.running = None
        assignment.interrupt = None
        mean = self._mean
        self._mean = news.took if mean is None else mean + WEIGHT * (news.took - mean)
        if child.told:
            self._stopped(child)
        self._crew.wear(child, news.rss)
        if child.leaving:
            self._take_back(child)
            if not child.load and not child.told:  # else it has taken the next one before it could be taken back
                self._crew.retire(child)
        self._done(assignment, outcome)

    def _noted(self, child: WarmChild, news: Noted) -> None:
        for text in (news.checkpoint, news.progress):
            if text is not None:
                check_json(text)
        if child.running is not None and news.seq == child.running_seq:
            lease = child.running.lease
            self._desk.note(Note(lease.task_id, lease.attempt, checkpoint=news.checkpoint, progress=news.progress))

    def _declined(self, child: WarmChild, news: Declined) -> None:
        assignment = child.window.pop(news.seq, None)
        if assignment is None:
            raise WireError(f"{news.seq} declined, which it does not have")
        if news.unknown:
            self._done(assignment, Released(held=reasons.UNKNOWN_FUNCTION))
        else:
            self._backlog.appendleft(assignment)

    # -- stopping and dying -----------------------------------------------------------------------------------------

    def _stop(self, child: WarmChild, assignment: Assignment) -> None:
        """Stop an attempt: politely now, by force after the grace time."""
        if child.running is not assignment or child.told:
            return
        self._take_back(child)
        if child.window:  # it has taken the next one, so this one has ended: that is on its way
            return
        child.told = True  # nothing more is given to it, so nobody else is hit
        child.say_stop(assignment.stop_reason or "release", assignment.stop_message)
        child.signal_group(signal.SIGTERM)
        child.timer = asyncio.get_running_loop().call_later(self._settings.grace, self._force, child, assignment)
        self._feed()

    def _force(self, child: WarmChild, assignment: Assignment) -> None:
        child.hear()  # its end may have come in this very moment
        if child.running is assignment:
            child.kill()

    def _stopped(self, child: WarmChild) -> None:
        """The attempt has heeded its stop: end what it has left behind, and only then give the child something new."""
        if child.timer is not None:
            child.timer.cancel()

        def swept() -> None:
            child.told = False
            if child.leaving and not child.load:
                self._crew.retire(child)
            self._feed()

        child.sweep(then=swept)

    def _died(self, child: WarmChild, remains: Remains) -> None:
        # What it has taken and not begun never began: that it begins is said before the handler is called.
        self._backlog.extendleft(reversed(child.window.values()))
        child.window.clear()
        child.sweep(then=self._feed)
        assignment, child.running = child.running, None
        if assignment is not None:
            assignment.interrupt = None
            self._done(assignment, self._outcome(child, assignment, remains))
        self._feed()

    def _outcome(self, child: WarmChild, assignment: Assignment, remains: Remains) -> Outcome:
        usage = None if remains.rusage is None else usage_of_dead(remains.rusage, child.cpu_before)
        if child.told:
            outcome = self._steps.stopped(assignment)
            return outcome if isinstance(outcome, LeaseExpired) else replace(outcome, usage=usage)
        death = Death.of_returncode(child.pid, remains.returncode)
        lines = [self._desk.journal.scrubbed(line) for line in child.box.last_lines(LAST_LINES)]
        stack = child.box.stack()
        return Crashed(crash_error(assignment, death, usage, lines=lines, stack=stack, why=child.failure), usage)


def _load(child: WarmChild) -> int:
    return child.load
