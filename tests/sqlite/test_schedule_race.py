"""Several tickers on one file, each with storage, clock and luck of its own: every fire happens, and none twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from angelica.clock import DAY, SECOND, ManualClock
from angelica.domain.fire import fire
from angelica.domain.schedule import CatchUp, TriggerSpec
from angelica.storage.protocol import SchedulePut, TaskFilter
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.storage.timetable import schedule
from tests.storage.world import START

TICKERS = 4
SCHEDULES = 40
SECONDS = 12


def test_tickers_that_race_fire_everything_once(path: Path) -> None:
    async def tick(storage: SqliteStorage, clock: ManualClock, times: int) -> None:
        for _ in range(times):
            now = clock.now()
            due = await storage.due_schedules(now=now)
            firings = [fire(found.schedule, now=now, unfinished=found.unfinished) for found in due]
            await storage.fire_many(firings, now=now)
            clock.advance(SECOND)

    async def scene() -> None:
        # Clocks that differ by less than the grace, as those of hosts do.
        clocks = [ManualClock() for _ in range(TICKERS)]
        for skew, clock in enumerate(clocks):
            clock.advance(skew * SECOND // 3)
        storages = [SqliteStorage(path, clock) for clock in clocks]
        for storage in storages:
            await storage.open()
        names = [f"s{n:02}" for n in range(SCHEDULES)]
        every = TriggerSpec(every=SECOND)
        puts = [SchedulePut(schedule(name, trigger=every, catch_up=CatchUp.ALL)) for name in names]
        await storages[0].put_schedules(puts, now=clocks[0].now())
        await asyncio.gather(*[tick(storage, clock, SECONDS) for storage, clock in zip(storages, clocks, strict=True)])
        # The clock that is ahead closes it: what it lost in its last race is fired now.
        end = clocks[-1].now().wall
        await tick(storages[-1], clocks[-1], 1)

        expected = tuple(range(START, end + 1, SECOND))
        for name in names:
            assert await storages[-1].fire_times(name, START, end + DAY) == expected
        page = await storages[0].list_tasks(TaskFilter(), limit=SCHEDULES * len(expected) + 1)
        runs = Counter(task.spec.extras.schedule_id for task in page.items)
        assert runs == dict.fromkeys(names, len(expected))
        assert (await storages[0].check()).problems == ()
        for storage in storages:
            await storage.close()

    asyncio.run(scene())
