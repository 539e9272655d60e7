"""The pulse: what a heartbeat says and what its answer means. Leases renewed, lost, stray; cancels heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from angelica.clock import SECOND
from angelica.domain.placement import Late
from angelica.domain.task import Lease, Task
from angelica.ending import end
from angelica.errors import StorageError
from angelica.runtime.assignment import Assignment
from angelica.runtime.heartbeat import Heartbeat
from angelica.runtime.holdings import Holdings
from angelica.runtime.means import Means
from angelica.storage.protocol import Beat, BeatReply, Control, Storage, Topic, WorkerInfo

CONTROL_WAIT: Final = 60.0
FREED: Final = 1_000
"""How many held tasks one transaction frees."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds: how long a lease lasts, how often it is renewed, and how long before its end it is no longer trusted."""

    ttl: float
    interval: float
    margin: float


@dataclass(frozen=True, slots=True)
class OnReply:
    """What is done about an answer, and about its absence (`distrust`), on the worker's event loop."""

    lost: Callable[[Assignment], None]
    cancel: Callable[[str, str], None]
    stray: Callable[[Task], None]
    distrust: Callable[[], None]
    control: Callable[[Control], None]


class Pulse:
    """Beats on a thread of its own; answers are handled on the event loop that called `start`.

    `trusted_until` (wall microseconds) is when this worker stops believing in its own leases: before anybody else
    may take them. `doing` is what the worker does of what operators ask.
    """

    def __init__(
        self,
        storage: Storage,
        info: WorkerInfo,
        names: Callable[[], Iterable[str]],
        holdings: Holdings,
        times: LeaseTimes,
        *,
        means: Means,
        on_reply: OnReply,
    ) -> None:
        self.trusted_until = 0
        self.doing: Control = "run"
        self._storage = storage
        self._info = info
        self._names = names
        self._holdings = holdings
        self._times = times
        self._clock = means.clock
        self._on_reply = on_reply
        self._reported: set[Lease] = set()
        self._suspects: frozenset[Lease] = frozenset()
        self._asked: Control = "run"
        self._kept: Late | None = None
        self._heartbeat = Heartbeat(self._beat, interval=times.interval, chance=means.chance)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: asyncio.Task[None] | None = None
        self._trust: asyncio.TimerHandle | None = None
        self._freeing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Register with a first beat, then go on beating; raises `StorageUnavailable`."""
        self._loop = asyncio.get_running_loop()
        await self._beat()
        self._heartbeat.start()
        self._listener = self._loop.create_task(self._listen(), name="angelica-control")
        self._watch_trust(self._loop)

    async def stop(self, timeout: float) -> None:
        """End, and wait for the thread at most `timeout` seconds."""
        await end(self._listener)
        await end(self._freeing)
        if self._trust is not None:
            self._trust.cancel()
        self._heartbeat.stop()
        await asyncio.to_thread(self._heartbeat.join, timeout)

    def say(self, doing: Control) -> None:
        """Tell the store what the worker does now."""
        self.doing = doing
        self._heartbeat.nudge()

    def keep(self, kept: Late | None) -> None:
        """Tell the store, with the next beat, for which task the worker keeps itself free now."""
        self._kept = kept

    @property
    def problem(self) -> str | None:
        """What is wrong now, None while all is well."""
        return self._heartbeat.problem

    async def _listen(self) -> None:
        """Beat at once when somebody asked a running task to stop, or a worker for something."""
        mark = self._storage.mark(Topic.CONTROL)
        while True:
            heard = await self._storage.wait(Topic.CONTROL, mark, CONTROL_WAIT)
            if heard != mark:
                self._heartbeat.nudge()
            mark = heard

    def _watch_trust(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the handlers once the lease is no longer trusted; look again when the trust of today will have ended."""
        left = self.trusted_until - self._clock.wall()
        if left <= 0:
            self._on_reply.distrust()
            left = SECOND
        self._trust = loop.call_later(left / SECOND, self._watch_trust, loop)

    async def _beat(self) -> None:
        """Renew the lease; on the heartbeat's own loop."""
        now = self._clock.now()
        held = self._holdings.all()
        leases = {assignment.lease for assignment in held}
        started = [a for a in held if a.started_at is not None and not a.finished and a.lease not in self._reported]
        beat = Beat(
            replace(self._info, functions=tuple(self._names()), heeds=self.doing, kept=self._kept),
            lease_until=now.tick + int(self._times.ttl * SECOND),
            seen_at=now.wall,
            held=tuple(leases),
            started=tuple([(a.task_id, a.attempt, a.started_at) for a in started if a.started_at is not None]),
        )
        reply = await self._storage.heartbeat(beat, now=now, limit=FREED)
        self._reported = (self._reported & leases) | {a.lease for a in started}
        self.trusted_until = now.wall + int((self._times.ttl - self._times.margin) * SECOND)
        if self._loop is not None and (reply.lost or reply.cancel or reply.strays or self._suspects):
            self._loop.call_soon_threadsafe(self._handle, reply)
        if self._loop is not None and reply.more:
            self._loop.call_soon_threadsafe(self._free_more)
        if self._loop is not None and reply.control != self._asked:
            self._asked = reply.control
            self._loop.call_soon_threadsafe(self._on_reply.control, reply.control)

    def _free_more(self) -> None:
        if self._freeing is None or self._freeing.done():
            self._freeing = asyncio.get_running_loop().create_task(self._free_held(), name="angelica-free-held")

    async def _free_held(self) -> None:
        """Free what else was held for want of this worker: not in the beat, whose time is that of the lease."""
        info = replace(self._info, functions=tuple(self._names()))
        # Whatever goes wrong is tried again after the next beat, which says so if there is more.
        with suppress(StorageError):
            while self.doing == "run" and await self._storage.free_held(info, limit=FREED) >= FREED:
                pass

    def _handle(self, reply: BeatReply) -> None:
        lost = set(reply.lost)
        for assignment in self._holdings.all() if lost else ():
            # What has ended meanwhile is judged by the fence when it is written.
            if assignment.lease in lost and not assignment.finished:
                self._on_reply.lost(assignment)
        for task_id, reason in reply.cancel:
            self._on_reply.cancel(task_id, reason)
        self._sort_strays(reply.strays)

    def _sort_strays(self, strays: tuple[Task, ...]) -> None:
        """Hand back claims whose reply never reached us: those that two beats in a row did not find with us.

        One beat is not enough: the reply of a claim may be on its way while the beat is written.
        """
        leases = frozenset(task.lease for task in strays)
        confirmed = leases & self._suspects
        self._suspects = leases - confirmed
        for task in strays:
            if task.lease in confirmed and task.id not in self._holdings:
                self._on_reply.stray(task)
