"""The worker: claims tasks, hands them to executors, and returns each attempt's end to the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from angelica.clock import SECOND, Clock, Now
from angelica.domain import reasons
from angelica.domain.events import Event, TasksCancelled, TasksClaimed, TasksEnded, WriteRefused
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Outcome, Released
from angelica.domain.task import Lease, Task
from angelica.errors import StorageError
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.completer import Completer, Written
from angelica.runtime.context import Context
from angelica.runtime.executors.asyncio import AsyncExecutor
from angelica.runtime.executors.base import Executor
from angelica.runtime.executors.thread import ThreadExecutor
from angelica.runtime.functions import Function
from angelica.runtime.gate import Gates
from angelica.runtime.heartbeat import Heartbeat
from angelica.runtime.journal import Journal
from angelica.runtime.notes import Notes
from angelica.runtime.room import Room
from angelica.runtime.startfile import BEGUN, ENDED, StartFile
from angelica.runtime.watch import Watch
from angelica.storage.protocol import Beat, BeatReply, Storage, Topic, WorkerInfo

log: Final = logging.getLogger("angelica.worker")

CONTROL_WAIT: Final = 60.0
LAST_FLUSH: Final = 5.0
"""Seconds that the last ends get to be written, and stubborn handlers to stop, when a worker leaves."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know; durations in seconds, `checkpoint_limit` in bytes."""

    async_slots: int
    thread_slots: int
    cap: int | None
    lease_ttl: float
    heartbeat: float
    lease_margin: float
    grace: float
    poll: float
    checkpoint_limit: int


class Code(Protocol):
    """The functions that this process has code for."""

    def get(self, name: str) -> Function[..., Any] | None: ...

    def names(self) -> Iterable[str]: ...

    def call_of(self, function: Function[..., Any]) -> Callable[..., Any]:
        """Return the function's handler inside its middleware and run hooks."""
        ...


class Worker:
    """One worker of one process. `start` and `stop` on its event loop."""

    def __init__(
        self,
        storage: Storage,
        info: WorkerInfo,
        code: Code,
        settings: WorkerSettings,
        *,
        clock: Clock,
        chance: Callable[[], float],
        journal: Journal,
        emit: Callable[[Event], None],
        start_file: StartFile | None = None,
    ) -> None:
        self.info = info
        self.refused = 0
        self._storage = storage
        self._code = code
        self._settings = settings
        self._clock = clock
        self._wall = clock.wall
        self._chance = chance
        self._journal = journal
        self._emit = emit
        self._starts = start_file
        self._marks: Any = start_file.mm if start_file is not None else bytearray(1)
        self._held: dict[str, Assignment] = {}
        self._reported: set[Lease] = set()
        self._suspects: frozenset[Lease] = frozenset()
        self._trusted_until = 0
        self._calls: dict[str, tuple[Function[..., Any], Callable[..., Any]]] = {}
        steps = AttemptSteps(wall=self._wall)
        self._executors: dict[str, Executor] = {
            "async": AsyncExecutor(settings.async_slots, steps=steps, begin=self._begin, done=self._done),
            "thread": ThreadExecutor(settings.thread_slots, steps=steps, begin=self._begin, done=self._done),
        }
        self._gates = Gates(self._admit)
        self._room = Room(tuple(self._executors.values()), cap=settings.cap)
        self._notes = Notes(storage, chance=chance, on_stale=self._on_stale)
        self._watch = Watch(self._held.values, wall=self._wall)
        self._completer = Completer(
            storage,
            info.id,
            self._room,
            clock=clock,
            chance=chance,
            poll=settings.poll,
            queues=info.queues,
            on_written=self._on_written,
        )
        self._heartbeat = Heartbeat(self._beat, interval=settings.heartbeat, chance=chance)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._control: asyncio.Task[None] | None = None

    # -- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Register, then begin to claim; raises `StorageUnavailable` if the store does not take the registration."""
        self._loop = asyncio.get_running_loop()
        self._watch.start()
        await self._beat()
        self._heartbeat.start()
        self._control = self._loop.create_task(self._listen(), name="angelica-control")
        self._notes.start()
        self._completer.start()
        self._completer.freed()

    async def stop(self, *, hasten: asyncio.Event | None = None) -> None:
        """Claim no more, give running handlers the grace time, hand back the rest and leave no lease behind.

        `hasten` set cuts the grace short.
        """
        self._completer.claiming = False
        self._release_waiting()
        await self._until_idle(self._settings.grace, hasten)
        for assignment in list(self._held.values()):
            assignment.stop("release")
        await self._until_idle(min(LAST_FLUSH, self._settings.grace), hasten)
        for assignment in list(self._held.values()):
            if not assignment.finished:  # a thread that did not stop: the process leaves, so it ends with it
                self._finish(assignment, Released())
        try:
            await asyncio.wait_for(self._completer.flush(), LAST_FLUSH)
            await self._notes.stop()
        except TimeoutError:
            log.warning("the store did not take our last ends; their leases will run out")
        await self._completer.stop()
        if self._control is not None:
            self._control.cancel()
        self._heartbeat.stop()
        await asyncio.to_thread(self._heartbeat.join, LAST_FLUSH)
        await self._leave()
        self._watch.stop()
        for executor in self._executors.values():
            await executor.close()
        if self._starts is not None:
            self._starts.close(remove=not self._held)

    async def _leave(self) -> None:
        try:
            await self._storage.end_worker(self.info.id, now=self._clock.now())
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("could not sign off: %s", error)

    async def _until_idle(self, seconds: float, hasten: asyncio.Event | None) -> None:
        """Wait until nothing is held, at most `seconds`; `hasten` ends the wait."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        while self._held and loop.time() < ends_at and not (hasten is not None and hasten.is_set()):
            await self._completer.flush()
            await asyncio.sleep(0.01)

    def _release_waiting(self) -> None:
        for executor in self._executors.values():
            for assignment in executor.withdraw():
                self._done(assignment, Released())
        for assignment in self._gates.withdraw():
            self._done(assignment, Released())

    # -- claims in ------------------------------------------------------------------------------------------------

    def _on_written(self, written: Written) -> None:
        """Take the reply of an exchange: forget what was written, take on what was claimed, say what happened."""
        self._settle(written)
        reply = written.reply
        if reply.lapsed:
            for reason in (reasons.EXPIRED, reasons.DEADLINE):
                ids = tuple(t.id for t in reply.lapsed if t.error is not None and t.error.reason == reason)
                if ids:
                    self._emit(TasksCancelled(ids, reason))
        if reply.claimed:
            self._take(reply.claimed)
            self._emit(TasksClaimed(self.info.id, reply.claimed))

    def _settle(self, written: Written) -> None:
        ends = written.ends
        if not ends:
            return
        accepted = written.reply.accepted
        for assignment, _ in ends:
            self._forget(assignment)
        if all(accepted):
            self._emit(TasksEnded(tuple([(a.task, end) for a, end in ends])))
            return
        kept = tuple((a.task, end) for (a, end), ok in zip(ends, accepted, strict=True) if ok)
        stale = tuple(a.task_id for (a, _), ok in zip(ends, accepted, strict=True) if not ok)
        if kept:
            self._emit(TasksEnded(kept))
        self._refuse("complete", stale)

    def _take(self, tasks: Sequence[Task]) -> None:
        """Make assignments of claimed tasks and hand them to their executors."""
        slots = self._starts.hold([task.lease for task in tasks]) if self._starts else [0] * len(tasks)
        batches: dict[str, list[Assignment]] = {}
        for task, slot in zip(tasks, slots, strict=True):
            known = self._calls.get(task.spec.function) or self._learn(task.spec.function)
            if known is None:
                self._park_unknown(task, slot)
                continue
            function, call = known
            assignment = Assignment(task, function, call, self._journal, slot, self.context)
            self._held[assignment.task_id] = assignment
            if function.concurrency is None or self._gates.enter(assignment):
                batches.setdefault(function.executor, []).append(assignment)
        for kind, batch in batches.items():
            self._executors[kind].submit(batch)

    def _learn(self, name: str) -> tuple[Function[..., Any], Callable[..., Any]] | None:
        function = self._code.get(name)
        if function is None or function.executor not in self._executors:
            return None
        self._calls[name] = known = (function, self._code.call_of(function))
        return known

    def _park_unknown(self, task: Task, slot: int) -> None:
        """Leave a task whose function this worker has no code for to one that does."""
        stranger = Assignment(task, _NOBODY, _NOBODY, self._journal, slot, self.context)
        self._held[task.id] = stranger
        self._finish(stranger, Released(held=reasons.UNKNOWN_FUNCTION))

    def _admit(self, assignment: Assignment) -> None:
        """A function's concurrency has room again for one that waited."""
        self._executors[assignment.code.executor].submit((assignment,))

    # -- one attempt ----------------------------------------------------------------------------------------------

    def _begin(self, assignment: Assignment) -> Outcome | None:
        """Mark an attempt as begun, or say why its handler must not start; called in the handler's thread."""
        wall = self._wall()
        if assignment.stop_reason is not None or wall >= self._trusted_until:
            return Released()
        assignment.started_at = wall
        timeout = assignment.task.spec.policy.timeout
        if timeout is not None:
            assignment.ends_by = ends_by = wall + timeout
            if ends_by < self._watch.next:
                self._watch.look_at(ends_by)
        self._marks[assignment.slot] = BEGUN
        return None

    def _done(self, assignment: Assignment, outcome: Outcome) -> None:
        """Take the outcome of an attempt; on the event loop."""
        if assignment.code.concurrency is not None:
            self._gates.leave(assignment)
        if not assignment.finished:  # else stop() has given up on it already
            self._finish(assignment, outcome)

    def _finish(self, assignment: Assignment, outcome: Outcome) -> None:
        self._marks[assignment.slot] = ENDED
        assignment.finished = True
        assignment.ends_by = None
        lines = self._journal.close(assignment)
        if assignment.stop_reason == "lost":
            self._forget(assignment)
            self._completer.freed()
            return
        wall = self._wall()
        started_at = assignment.started_at
        if started_at is not None:
            self._room.record(assignment.code.executor, wall - started_at)
        end = complete(assignment.task, outcome, now=Now(wall, 0, ""), chance=self._chance(), started_at=started_at)
        self._completer.add(assignment, end, lines, self._notes.take(assignment.lease))

    def _forget(self, assignment: Assignment) -> None:
        if self._held.get(assignment.task_id) is assignment:
            del self._held[assignment.task_id]
        if self._starts is not None:
            self._starts.free((assignment.slot,))
        if self._reported:
            self._reported.discard(assignment.lease)

    def context(self, assignment: Assignment) -> Context:
        """Return the user's view of an attempt."""
        return Context(assignment, wall=self._wall, note=self._notes.add, limit=self._settings.checkpoint_limit)

    # -- heartbeat ------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Beat at once when somebody asked a running task to stop."""
        mark = self._storage.mark(Topic.CONTROL)
        while True:
            heard = await self._storage.wait(Topic.CONTROL, mark, CONTROL_WAIT)
            if heard != mark:
                self._heartbeat.nudge()
            mark = heard

    async def _beat(self) -> None:
        """Renew the lease; on the heartbeat's own loop."""
        now = self._clock.now()
        held = list(self._held.values())
        started = [a for a in held if a.started_at is not None and a.lease not in self._reported]
        info = replace(self.info, functions=tuple(self._code.names()))
        beat = Beat(
            info,
            lease_until=now.tick + int(self._settings.lease_ttl * SECOND),
            seen_at=now.wall,
            held=tuple([a.lease for a in held]),
            started=tuple([(a.task_id, a.attempt, a.started_at) for a in started if a.started_at is not None]),
        )
        reply = await self._storage.heartbeat(beat, now=now)
        self._reported.update(a.lease for a in started)
        self._trusted_until = now.wall + int((self._settings.lease_ttl - self._settings.lease_margin) * SECOND)
        if self._loop is not None and (reply.lost or reply.cancel or reply.strays or self._suspects):
            self._loop.call_soon_threadsafe(self._on_reply, reply)

    def _on_reply(self, reply: BeatReply) -> None:
        lost = set(reply.lost)
        for assignment in [a for a in self._held.values() if a.lease in lost]:
            self._lose(assignment)
        for task_id, reason in reply.cancel:
            self.cancel(task_id, reason)
        self._release_strays(reply.strays)

    def cancel(self, task_id: str, reason: str) -> None:
        """Tell the handler of a held task to stop, because a cancel was requested."""
        assignment = self._held.get(task_id)
        if assignment is not None and assignment.stop_reason is None:
            assignment.stop("cancel", reason)

    def _lose(self, assignment: Assignment) -> None:
        """The lease is no longer ours: stop the handler; nothing of it will be written."""
        log.warning("lost the lease of task %s, attempt %d", assignment.task_id, assignment.attempt)
        self._refuse("lease", (assignment.task_id,))
        if not assignment.stop("lost"):
            self._drop(assignment)

    def _drop(self, assignment: Assignment) -> None:
        """Forget a lost assignment that has not begun; its executor skips it when its turn comes."""
        if self._held.get(assignment.task_id) is assignment:
            del self._held[assignment.task_id]

    def _release_strays(self, strays: tuple[Task, ...]) -> None:
        """Hand back claims whose reply never reached us: those that two beats in a row did not find with us."""
        leases = frozenset(task.lease for task in strays)
        confirmed = leases & self._suspects
        self._suspects = leases - confirmed
        for task in strays:
            if task.lease in confirmed and task.id not in self._held:
                self._park_stray(task)

    def _park_stray(self, task: Task) -> None:
        stray = Assignment(task, _NOBODY, _NOBODY, self._journal, self._scratch_slot(task), self.context)
        self._held[task.id] = stray
        self._finish(stray, Released())

    def _scratch_slot(self, task: Task) -> int:
        return self._starts.hold([task.lease])[0] if self._starts is not None else 0

    # -- what went wrong ------------------------------------------------------------------------------------------

    def _on_stale(self, leases: frozenset[Lease], verb: str) -> None:
        """The store refused notes or log lines: those attempts are no longer ours."""
        self._refuse(verb, tuple(lease.task_id for lease in leases))
        for assignment in [a for a in self._held.values() if a.lease in leases]:
            if assignment.interrupt is not None:
                self._lose(assignment)

    async def flush_logs(self) -> None:
        """Store the log lines that running attempts have written so far."""
        lines = self._journal.drain()
        if lines:
            try:
                stale = await self._storage.append_logs(lines)
            except StorageError:
                self._journal.give_back(lines)
                raise
            if stale:
                self._journal.refused(stale)
                self._on_stale(stale, "append_logs")

    def _refuse(self, verb: str, task_ids: tuple[str, ...]) -> None:
        self.refused += len(task_ids)
        log.warning("late %s of %d task(s) refused, first %s", verb, len(task_ids), task_ids[0])
        self._emit(WriteRefused(self.info.id, verb, task_ids))

    @property
    def problem(self) -> str | None:
        """What is wrong now, None while all is well."""
        return self._completer.problem or self._heartbeat.problem

    def running(self) -> tuple[Assignment, ...]:
        """Return the attempts whose handlers are running now."""
        return tuple(a for a in self._held.values() if a.interrupt is not None)


class _Nobody:
    """Stands in for the function of a task that this worker will not run."""

    executor = "async"
    concurrency = None


_NOBODY: Final[Any] = _Nobody()
