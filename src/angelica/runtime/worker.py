"""The worker: claims tasks, hands them to executors, and returns each attempt's end to the store."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.events import TasksCancelled, TasksClaimed, TasksEnded, WriteRefused
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Outcome, Released
from angelica.domain.task import NO_EXTRAS, Lease, Task
from angelica.runtime.assignment import Assignment
from angelica.runtime.cap import Cap
from angelica.runtime.code import NOBODY, Calls, Code
from angelica.runtime.completer import Completer, Written
from angelica.runtime.context import Context
from angelica.runtime.executors.command import COMMAND_CODE
from angelica.runtime.executors.making import make_executors
from angelica.runtime.executors.process import Desk
from angelica.runtime.gate import Gates
from angelica.runtime.holdings import Holdings
from angelica.runtime.journal import Journal
from angelica.runtime.means import Means
from angelica.runtime.notes import Notes
from angelica.runtime.parting import sign_off, store_lines, until_idle, write_last
from angelica.runtime.placement import Placement
from angelica.runtime.pulse import OnReply, Pulse
from angelica.runtime.room import Room
from angelica.runtime.startfile import StartFile
from angelica.runtime.turnover import Turnover
from angelica.runtime.watch import Watch
from angelica.runtime.worker_settings import WorkerSettings
from angelica.storage.protocol import Control, Storage, WorkerInfo

log: Final = logging.getLogger("angelica.worker")

_UNHARMED: Final = Released()

LAST_FLUSH: Final = 5.0
"""Seconds that the last ends get to be written, and stubborn handlers to stop, when a worker leaves."""


class Worker:
    """One worker of one process. `start` and `stop` on its event loop.

    `dismissed` is called there when an operator asks for its stop; whoever owns it then calls `stop`.
    """

    def __init__(
        self,
        storage: Storage,
        info: WorkerInfo,
        code: Code,
        settings: WorkerSettings,
        *,
        means: Means,
        journal: Journal,
        start_file: StartFile | None = None,
    ) -> None:
        self.info = info
        self.refused = 0
        self._resting = False
        self._storage = storage
        self._settings = settings
        self._clock = means.clock
        self._wall = means.clock.wall
        self._chance = means.chance
        self._emit = means.emit
        self._journal = journal
        self.dismissed: Callable[[], object] | None = None
        self._code = code
        self._holdings = Holdings(start_file)
        self._command_names = () if settings.commands is None else settings.commands.allowed.functions
        self._notes = Notes(storage, chance=means.chance, on_stale=self._on_stale)
        self._pulse = Pulse(
            storage,
            info,
            self._names,
            self._holdings,
            settings.lease,
            means=means,
            on_reply=OnReply(self._lose, self.cancel, self._release_stray, self.hand_back, self._heed),
        )
        desk = Desk(self._wall, self._pulse, self._begun, self._notes.add, journal, means.chance)
        self._executors = make_executors(settings, begin=self._begin, done=self._done, desk=desk)
        self._calls = Calls(code, self._executors)
        self._calls.known.update(dict.fromkeys(self._command_names, (COMMAND_CODE, COMMAND_CODE)))
        self._gates = Gates(self._admit)
        self._cap = Cap(settings.cap, self._executors)
        self._placement = Placement(settings.capacity)
        self._room = Room(tuple(self._executors.values()), cap=settings.cap, waiting=self._crowd)
        lines: list[Any] = [(executor, self._done) for executor in self._executors.values()]
        self._turnover = Turnover([*lines, (self._cap, self._leave)], self._room)
        self._watch = Watch(self._holdings.all, wall=self._wall)
        self._completer = Completer(
            storage, info, self._room, self._placement, means=means, poll=settings.poll, on_written=self._on_written
        )
        self._completer.on_kept = self._pulse.keep
        self._completer.trusted = lambda: self._wall() < self._pulse.trusted_until

    async def start(self) -> None:
        """Register, then begin to claim; raises `StorageUnavailable` if the store does not take the registration."""
        self._watch.start()
        await self._pulse.start()
        self._notes.start()
        self._completer.start()
        self._turnover.start()

    async def stop(self, *, hasten: asyncio.Event | None = None) -> None:
        """Claim no more, give running handlers the grace time, hand back the rest and leave no lease behind.

        `hasten` set cuts the grace short.
        """
        self._pulse.say("stop")
        self._turnover.stop()
        self.rest()
        await until_idle(self._holdings, self._settings.grace, hasten)
        for assignment in self._holdings.all():
            assignment.stop("release")
        await until_idle(self._holdings, min(LAST_FLUSH, self._settings.grace), hasten)
        for executor in self._executors.values():
            await executor.halt()
        for assignment in self._holdings.all():
            if not assignment.finished:  # a thread that did not stop: the process leaves, so it ends with it
                self._finish(assignment, Released())
        await write_last(self._completer, self._notes, LAST_FLUSH)
        await self._completer.stop()
        await self._pulse.stop(LAST_FLUSH)
        await sign_off(self._storage, self.info.id, now=self._clock.now())
        self._watch.stop()
        for executor in self._executors.values():
            await executor.close()
        self._holdings.close()

    def _names(self) -> tuple[str, ...]:
        """Return the functions that are known now: some may be declared after the start."""
        self._completer.known = frozenset(names := (*self._code.names(), *self._command_names))
        return names

    def _heed(self, control: Control) -> None:
        """Do what an operator asks for: claim no more, claim again, or end."""
        if self._pulse.doing == "stop":
            return
        if control == "stop":
            if self.dismissed is not None:
                self.dismissed()
            return
        self._completer.claiming = control == "run" and not self._resting
        self._completer.hunger()
        if control == "drain":
            self._withdraw()
        self._pulse.say(control)

    def rest(self) -> None:
        """Claim no more, whatever operators ask for, and hand back what has not begun; `resume` goes on."""
        self._resting = True
        self._completer.claiming = False
        self._withdraw()

    def resume(self) -> None:
        """Claim again, unless an operator does not want that."""
        self._resting = False
        self._completer.claiming = self._pulse.doing == "run"
        self._completer.hunger()

    def _crowd(self) -> int:
        return self._cap.waiting + self._gates.crowd()

    def _withdraw(self) -> None:
        waiting = [a for executor in self._executors.values() for a in executor.withdraw()]
        for assignment in [*waiting, *self._cap.withdraw(), *self._gates.withdraw()]:
            self._finish(assignment, Released())

    def _on_written(self, written: Written) -> None:
        """Take the reply of an exchange: forget what was written, take on what was claimed, say what happened."""
        self._settle(written)
        reply = written.reply
        if reply.claimed:
            self._take(reply.claimed)
            self._emit(TasksClaimed(self.info.id, reply.claimed))
        for reason, count in Counter(t.error.reason for t in reply.lapsed if t.error is not None).items():
            ids = tuple(t.id for t in reply.lapsed if t.error is not None and t.error.reason == reason)
            log.info("%d task(s) could not start in time: %s", count, reason)
            self._emit(TasksCancelled(ids, reason))

    def _settle(self, written: Written) -> None:
        ends = written.ends
        if not ends:
            return
        accepted = written.reply.accepted
        self._holdings.forget([assignment for assignment, _ in ends])
        if all(accepted):
            self._emit(TasksEnded(tuple([(assignment.task, end) for assignment, end in ends])))
            return
        kept = tuple((a.task, end) for (a, end), ok in zip(ends, accepted, strict=True) if ok)
        stale = tuple(a.task_id for (a, _), ok in zip(ends, accepted, strict=True) if not ok)
        if kept:
            self._emit(TasksEnded(kept))
        self._refuse("complete", stale)

    def _take(self, tasks: Sequence[Task]) -> None:
        """Make assignments of claimed tasks and hand them to their executors."""
        batches: dict[str, list[Assignment]] = {}
        calls, taking = self._calls, self._completer.claiming
        for task, slot in zip(tasks, self._holdings.slots(tasks), strict=True):
            older = self._holdings.get(task.id)
            if older is not None and not older.finished:  # somebody ended it, and it has come back to us
                self._lose(older)
            if not taking:  # claimed when the stop came, which may have ended already what was held
                self._give_back(task, slot, _UNHARMED)
                continue
            known = calls.known.get(task.spec.function) or calls.learn(task.spec.function)
            if known is None:  # left to a worker that has the code
                self._give_back(task, slot, Released(held=reasons.UNKNOWN_FUNCTION))
                continue
            function, call = known
            assignment = Assignment(task, function, call, self._journal, slot, self.context)
            self._holdings.add(assignment)
            if task.spec.extras is not NO_EXTRAS:
                self._placement.enter(assignment)
            if function.concurrency is None or self._gates.enter(assignment):
                batches.setdefault(function.executor, []).append(assignment)
        for kind, batch in batches.items():
            self._cap.submit(kind, batch)

    def _give_back(self, task: Task, slot: int, outcome: Released) -> None:
        """Release a task that this worker holds and will not run."""
        assignment = Assignment(task, NOBODY, NOBODY, self._journal, slot, self.context)
        self._holdings.add(assignment)
        self._finish(assignment, outcome)

    def _release_stray(self, task: Task) -> None:
        self._give_back(task, self._holdings.slots([task])[0], Released())

    def _admit(self, assignment: Assignment) -> None:
        """A function's concurrency has room again for one that waited."""
        self._cap.submit(assignment.code.executor, (assignment,))

    def _begin(self, assignment: Assignment) -> Outcome | None:
        """Mark an attempt as begun, or say why its handler must not start; called in the handler's thread."""
        wall = self._wall()
        if assignment.stop_reason is not None or wall >= self._pulse.trusted_until:
            return Released()
        self._begun(assignment, wall)
        return None

    def _begun(self, assignment: Assignment, wall: int) -> None:
        """Note that the handler of an attempt begins, or has begun in a child process."""
        assignment.started_at = wall
        timeout = assignment.task.spec.policy.timeout
        if timeout is not None:
            assignment.ends_by = ends_by = wall + timeout
            if ends_by < self._watch.next:
                self._watch.look_at(ends_by)
        self._holdings.begun(assignment)

    def _done(self, assignment: Assignment, outcome: Outcome = _UNHARMED) -> None:
        """Take the outcome of an attempt; on the event loop."""
        self._cap.leave()
        self._leave(assignment, outcome)

    def _leave(self, assignment: Assignment, outcome: Outcome = _UNHARMED) -> None:
        """Take the outcome of one that has no place under the cap (any more)."""
        if assignment.code.concurrency is not None:
            self._gates.leave(assignment)
        if not assignment.finished:  # else stop() has given up on it already
            self._finish(assignment, outcome)

    def _finish(self, assignment: Assignment, outcome: Outcome) -> None:
        """Decide what is written for an attempt that has ended, and hand it to the completer."""
        self._holdings.ended(assignment)
        assignment.finished = True
        assignment.ends_by = None
        if self._placement.busy and self._placement.leave(assignment):
            self._completer.hunger()
        lines = self._journal.close(assignment)
        if assignment.stop_reason == "lost":
            self._holdings.forget((assignment,))
            self._completer.freed()
            return
        wall = self._wall()
        started_at = assignment.started_at
        if started_at is not None:
            self._room.record(assignment.code.executor, wall - started_at)
        end = complete(assignment.task, outcome, now=Now(wall, 0, ""), chance=self._chance(), started_at=started_at)
        self._completer.add(assignment, end, lines, self._notes.take(assignment))

    def context(self, assignment: Assignment) -> Context:
        """Return the user's view of an attempt."""
        return Context(assignment, wall=self._wall, note=self._notes.add, limit=self._settings.checkpoint_limit)

    def cancel(self, task_id: str, reason: str) -> None:
        """Tell the handler of a held task to stop, because a cancel was requested."""
        assignment = self._holdings.get(task_id)
        if assignment is None or assignment.stop_reason is not None or assignment.stop("cancel", reason):
            return
        # Not begun: it must not wait for its turn only to be told so. The store knows of the request and ends it.
        if self._gates.recall(assignment):
            self._finish(assignment, Released())
        elif self._cap.recall(assignment):
            self._leave(assignment)
        elif self._executors[assignment.code.executor].recall(assignment):
            self._done(assignment)

    def _lose(self, assignment: Assignment) -> None:
        """The lease is no longer ours: stop the handler; nothing of it will be written."""
        self._refuse("lease", (assignment.task_id,))
        assignment.stop("lost")
        self._holdings.drop(assignment)

    def hand_back(self) -> None:
        """Stop all handlers: soon our leases may be taken, or the store goes. The fence judges what they end as."""
        for assignment in self._holdings.all():
            if assignment.stop_reason is None and not assignment.finished:
                assignment.stop("release")

    def _on_stale(self, leases: frozenset[Lease], verb: str) -> None:
        """The store refused notes or log lines: those attempts are no longer ours."""
        self._refuse(verb, tuple(lease.task_id for lease in leases))
        for assignment in self._holdings.all():
            if assignment.lease in leases and assignment.interrupt is not None:
                self._lose(assignment)

    def _refuse(self, verb: str, task_ids: tuple[str, ...]) -> None:
        self.refused += len(task_ids)
        log.warning("late %s of %d task(s) refused, first %s", verb, len(task_ids), task_ids[0])
        self._emit(WriteRefused(self.info.id, verb, task_ids))

    async def flush_logs(self) -> None:
        """Store the log lines that running attempts have written so far."""
        stale = await store_lines(self._journal, self._storage)
        if stale:
            self._on_stale(stale, "append_logs")

    @property
    def problem(self) -> str | None:
        """What is wrong now, None while all is well."""
        problems = (executor.problem for executor in self._executors.values())
        return self._completer.problem or self._pulse.problem or next(filter(None, problems), None)
