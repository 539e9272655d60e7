"""The memory lane keeps a bounded number of ended tasks, whatever their retention says."""

import asyncio

from angelica.clock import ManualClock
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask, State
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Claim


def test_ended_tasks_beyond_the_bound_are_forgotten_oldest_first() -> None:
    async def play() -> None:
        clock = ManualClock()
        storage = MemoryStorage(clock, keep_ended=3)
        for number in range(10):
            now = clock.now()
            await storage.enqueue_many([NewTask(f"t{number}", "f", "{}", now.wall, now.wall)], now=now)
            (task,) = (await storage.exchange([], Claim("w", 1, (("async", 1),)), now=now)).claimed
            await storage.exchange([complete(task, Succeeded("1"), now=now, chance=0.0)], None, now=now)
            clock.advance(1_000)
        kept = await storage.get_tasks([f"t{number}" for number in range(10)])
        assert [task is not None for task in kept] == [False] * 7 + [True] * 3
        assert (await storage.counts())["default", State.SUCCEEDED] == 3
        assert storage.unfinished == 0

    asyncio.run(play())
