"""What the tests of the scheduler and of the service share: an office over one adapter, with a clock moved by hand."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

from angelica.clock import SECOND, ManualClock
from angelica.domain.fire import fire
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import State
from angelica.runtime.means import Means
from angelica.runtime.schedule_drafts import read_schedule
from angelica.runtime.scheduler import Scheduler
from angelica.runtime.schedules import Schedules
from angelica.storage.memory import MemoryStorage
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import Beat, Claim, TaskFilter, WorkerInfo
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.postgres.session import session
from tests.runtime.house_of_functions import registry, settings

START = 1_780_272_000 * SECOND  # 2026-06-01T00:00Z, a Monday
STORES = ("memory", "sqlite", "postgres")
ROOM = (("async", 10_000), ("thread", 100))
WORKER = WorkerInfo("w", "h", "boot-0", 1, 1, "0", 0, 10)


class Office:
    """Schedules and a scheduler over one storage; `events` are those that were emitted."""

    def __init__(self, storage, clock) -> None:
        self.clock = clock
        self.storage = storage
        self.functions = registry()
        self.events: list[object] = []
        self.state = "RUNNING"
        generator = random.Random(7)
        self.means = Means(clock, generator.random, self.events.append)
        self.schedules = Schedules(
            storage,
            means=self.means,
            registry=self.functions,
            settings=settings(),
            bits=generator.getrandbits,
            state=lambda: self.state,
        )
        self.scheduler = Scheduler(storage, means=self.means, poll=60.0)

        @self.functions.decorator(name="report", retries=1)
        async def report(day: int = 0, *, full: bool = False) -> None:
            """Do nothing: no test runs it."""

        @self.functions.decorator(name="sync")
        async def sync() -> None:
            """Do nothing."""

    async def create(self, **fields):
        body = {"schedule_id": "s", "name": "report", **fields}
        if not {"cron", "every", "at", "in", "repeat"} & set(body):
            body["cron"] = "* * * * *"
        schedule, _ = await self.schedules.create(read_schedule(body))
        return schedule

    async def fire(self):
        """Fire all that is due; return how many firings were written."""
        total = 0
        while (written := (await self.scheduler.tick())[1]) > 0:
            total += written
        return total

    async def decided(self, schedule_id="s"):
        """Return the firing of a schedule as a slower node has decided it, and not written yet."""
        now = self.clock.now()
        schedule = await self.schedules.get(schedule_id)
        return fire(schedule, now=now, unfinished=await self.storage.unfinished_runs(schedule_id))

    def advance(self, seconds):
        self.clock.advance(int(seconds * SECOND))

    async def tasks(self, *states):
        where = TaskFilter(states=frozenset(states) or None)
        return (await self.storage.list_tasks(where, limit=500, newest_first=False)).items

    async def claim(self, count=100):
        now = self.clock.now()
        await self.storage.heartbeat(Beat(WORKER, now.tick + 10**12, now.wall), now=now)
        await self.storage.promote_due(now=now)
        return (await self.storage.exchange([], Claim("w", count, ROOM), now=now)).claimed

    async def end(self, tasks, outcome=None):
        now = self.clock.now()
        ends = [complete(task, outcome or Succeeded("null"), now=now, chance=0.0) for task in tasks]
        return (await self.storage.exchange(ends, None, now=now)).accepted

    async def run_all(self, outcome=None):
        """Claim and end all that is ready, until nothing is; return the tasks in order."""
        done = []
        while claimed := await self.claim(1):
            await self.end(claimed, outcome)
            done += claimed
        return done

    async def queued(self):
        return await self.tasks(State.QUEUED)


def make_storage(kind, directory, clock):
    """Return a fresh storage of a kind, which need not wait for the disk."""
    match kind:
        case "memory":
            return MemoryStorage(clock)
        case "sqlite":
            return SqliteStorage(directory / "angelica.db", clock, durability="fast")
        case _:
            return PostgresStorage(session().empty_url(), clock, durability="fast")


def in_office(kind, tmp_path, story):
    """Open an office over an adapter, let the story happen in it, close it."""

    async def open_close():
        clock = ManualClock(wall=START)
        storage = make_storage(kind, tmp_path, clock)
        await storage.open()
        try:
            return await story(Office(storage, clock))
        finally:
            await storage.close()

    return asyncio.run(open_close())


def fire_times(tasks):
    return [(task.spec.extras.extensions["fire_time"] - START) // SECOND for task in tasks]


def plain(schedule):
    """Return a schedule without what differs between two that mean the same."""
    return replace(schedule, id="", created_at=0, updated_at=0)
