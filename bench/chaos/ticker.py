"""One process that fires schedules, with a wall clock of its own; or the one that runs what they fire.

python -m bench.chaos.ticker STORE tick OFFSET SEED    OFFSET: microseconds that its wall clock is ahead
python -m bench.chaos.ticker STORE run LONGEST SEED    LONGEST: microseconds that a run takes at the most
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading

from angelica.clock import SECOND, SystemClock, system_wall_offset
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import Task
from angelica.runtime.duty import Duty
from angelica.runtime.means import Means
from angelica.runtime.scheduler import Scheduler
from angelica.storage.protocol import Beat, Claim, WorkerInfo
from angelica.storage.sqlite.adapter import SqliteStorage

POLL = 0.25
"""Seconds; nodes wait at most so long, so that clocks which are apart still meet."""
LOOK = 0.05
ROOM = (("async", 10_000),)
LEASE = 3_600 * SECOND


async def tick(path: str, offset: int, chance: random.Random) -> None:
    """Fire what is due by a clock that is `offset` ahead, for ever."""
    clock = SystemClock(wall_offset=system_wall_offset() + offset)
    storage = SqliteStorage(path, durability="fast")
    await storage.open()
    scheduler = Scheduler(storage, means=Means(clock, chance.random, lambda _: None), poll=POLL)
    Duty("scheduler", scheduler.step, chance=chance.random).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def run(path: str, longest: int, chance: random.Random) -> None:
    """Claim what is ready and end it after a while, for ever."""
    storage = SqliteStorage(path, durability="fast")
    await storage.open()
    clock = SystemClock()
    worker = WorkerInfo("w", "h", clock.now().boot, os.getpid(), 0, "0", clock.wall(), ROOM[0][1])
    held: list[tuple[int, Task]] = []
    print("ready", flush=True)
    while True:
        now = clock.now()
        await storage.heartbeat(Beat(worker, now.tick + LEASE, now.wall), now=now)
        await storage.promote_due(now=now)
        over = [task for until, task in held if until <= now.tick]
        held = [(until, task) for until, task in held if until > now.tick]
        ends = [complete(task, Succeeded("null"), now=now, chance=0.0) for task in over]
        reply = await storage.exchange(ends, Claim("w", 1_000, ROOM), now=now)
        held += [(now.tick + chance.randrange(longest), task) for task in reply.claimed]
        await asyncio.sleep(LOOK)


def die_with_parent() -> None:
    """End when the parent's end of stdin closes."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    die_with_parent()
    _, store, role, number, seed = sys.argv
    asyncio.run({"tick": tick, "run": run}[role](store, int(number), random.Random(seed)))
