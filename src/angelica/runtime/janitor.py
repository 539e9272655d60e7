"""The janitor: settles what dead workers held, and prunes what has been kept long enough; on every node."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from angelica.clock import SECOND, Now
from angelica.domain.events import TasksEnded, WorkerLost
from angelica.domain.lifecycle import Completion, complete
from angelica.domain.outcome import LeaseExpired, Released
from angelica.domain.task import Task
from angelica.runtime.means import Means
from angelica.runtime.settle import Death, Settled, has_begun, settle_worker
from angelica.runtime.startfile import Started, read_start_file
from angelica.storage.protocol import Storage, WorkerRow

log: Final = logging.getLogger("angelica.janitor")

PAGE: Final = 1_000
PRUNE_EVERY: Final = 60.0
_SOON: Final = 0.005


@dataclass(frozen=True, slots=True)
class Host:
    """This host: its name, where its pids mean something, and whether a process (pid, start time) there still lives."""

    name: str
    place: str
    lives: Callable[[int, int], bool] = field(repr=False)


class Janitor:
    """The steps of two duties: `sweep` every `interval` seconds, `prune` every minute."""

    def __init__(
        self,
        storage: Storage,
        host: Host,
        *,
        means: Means,
        interval: float = 1.0,
    ) -> None:
        self._storage = storage
        self._host = host
        self._clock = means.clock
        self._chance = means.chance
        self._emit = means.emit
        self._interval = interval

    async def sweep(self) -> float:
        """End what workers hold whose process is gone or whose lease has run out; hold back what nobody may take."""
        workers = await self._storage.list_workers()
        for row in workers:
            if self._gone(row):
                await self.settle(row, Death(row.info.pid))
        await self._sweep_expired({row.info.id: row for row in workers})
        await self._park()
        return self._interval

    async def _park(self) -> None:
        """Hold what no live worker has the labels, the code or the size for, so that it is seen; not all at once."""
        parked = await self._storage.park_unmet(now=self._clock.now(), limit=PAGE)
        if parked:
            log.warning("%d task(s) are held: no live worker has the labels, the code or the size for them", parked)

    async def settle(self, row: WorkerRow, death: Death) -> Settled:
        """End at once all that a worker held that is known to be dead."""
        settled = await settle_worker(
            self._storage,
            row.info.id,
            death=death,
            start_file=self._start_file(row),
            now=self._clock.now(),
            chance=self._chance,
        )
        if settled.ends:
            self._emit(TasksEnded(settled.ends))
        self._lost(row.info.id, settled.crashed, settled.released, death.words())
        return settled

    def _gone(self, row: WorkerRow) -> bool:
        """Whether the worker ran here and its process does not live any more.

        One of an earlier boot, or of a container beside this one, cannot be told from one that lives: its lease tells.
        """
        info = row.info
        if (info.host, info.place) != (self._host.name, self._host.place):
            return False
        return not self._host.lives(info.pid, info.pid_started)

    async def _sweep_expired(self, workers: dict[str, WorkerRow]) -> None:
        while True:
            now = self._clock.now()
            tasks = await self._storage.expired(now=now, limit=PAGE)
            if not tasks:
                return
            started = {name: self._started(workers.get(name)) for name in {task.worker or "" for task in tasks}}
            ends = tuple((task, self._end(task, started[task.worker or ""], now)) for task in tasks)
            reply = await self._storage.exchange([end for _, end in ends], None, now=now)
            done = tuple(pair for pair, ok in zip(ends, reply.accepted, strict=True) if ok)
            if done:
                self._emit(TasksEnded(done))
                self._report(done)
            if len(done) < len(tasks) or len(tasks) < PAGE:
                return

    def _started(self, row: WorkerRow | None) -> Started | None:
        """Return what the worker's start file says, None where it cannot be known."""
        path = None if row is None else self._start_file(row)
        return None if path is None else read_start_file(path)

    def _start_file(self, row: WorkerRow) -> str | None:
        """Return the path of a start file that can be believed: of this host, and of this boot.

        It is never synced, so what a power cut left of it may be of any moment.
        """
        info = row.info
        return info.start_file if (info.host, info.place) == (self._host.name, self._host.place) else None

    def _end(self, task: Task, started: Started | None, now: Now) -> Completion:
        # A lease ran out: the attempt is to blame only if its handler had begun.
        outcome = LeaseExpired(task.worker or "") if has_begun(task, started) else Released()
        return complete(task, outcome, now=now, chance=self._chance(), started_at=task.started_at, expired_by=now.tick)

    def _report(self, done: tuple[tuple[Task, Completion], ...]) -> None:
        counts: dict[str, Counter[bool]] = {}
        for task, end in done:
            counts.setdefault(task.worker or "?", Counter())[end.outcome == "released"] += 1
        for worker, count in counts.items():
            self._lost(worker, count[False], count[True], "stopped renewing its lease")

    def _lost(self, worker: str, crashed: int, released: int, how: str) -> None:
        if crashed or released:
            log.warning("worker %s %s: %d attempt(s) ended, %d handed back", worker, how, crashed, released)
        self._emit(WorkerLost(worker, crashed, released))

    async def relieve(self) -> float:
        """Let those go on that limits hold back and need not any more; return when to look again."""
        relieved = await self._storage.relieve(now=self._clock.now())
        if relieved.next_at is None:
            return self._interval
        return min(self._interval, max((relieved.next_at - self._clock.wall()) / SECOND, _SOON))

    async def prune(self) -> float:
        """Delete what has been kept long enough, in small batches."""
        deleted = await self._storage.prune(now=self._clock.now(), limit=PAGE)
        return 0.05 if deleted >= PAGE else PRUNE_EVERY
