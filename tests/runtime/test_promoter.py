"""The promoter: due tasks join the line at their moment, woken by whichever comes first."""

from __future__ import annotations

import asyncio

from angelica.clock import MILLISECOND, SECOND, SystemClock
from angelica.domain.task import State
from angelica.runtime.promoter import Promoter
from angelica.storage.memory import MemoryStorage
from tests.runtime.house_of_attempts import run
from tests.storage.world import new


async def opened():
    clock = SystemClock()
    storage = MemoryStorage(clock)
    await storage.open()
    return storage, clock


async def later(storage, clock, name, micros):
    run_at = clock.wall() + micros
    await storage.enqueue_many([new(name, run_at=run_at, created_at=run_at)], now=clock.now())
    return run_at


def test_what_is_due_is_promoted_and_what_is_not_waits():
    async def story():
        storage, clock = await opened()
        promoter = Promoter(storage, clock=clock, poll=30)
        run_at = await later(storage, clock, "soon", 30 * MILLISECOND)
        await later(storage, clock, "late", 3_600 * SECOND)
        while (await storage.get_tasks(["soon"]))[0].state is State.SCHEDULED:
            assert await asyncio.wait_for(promoter.step(), 5) == 0.0
            if clock.wall() < run_at:
                assert (await storage.get_tasks(["soon"]))[0].state is State.SCHEDULED
            if (await storage.get_tasks(["soon"]))[0].state is State.SCHEDULED and clock.wall() >= run_at:
                await storage.promote_due(now=clock.now())  # what the next step does first
        assert run_at <= clock.wall() < run_at + SECOND
        assert (await storage.get_tasks(["late"]))[0].state is State.SCHEDULED

    run(story())


def test_a_task_for_sooner_wakes_it():
    async def story():
        storage, clock = await opened()
        promoter = Promoter(storage, clock=clock, poll=30)
        await later(storage, clock, "late", 3_600 * SECOND)
        step = asyncio.create_task(promoter.step())
        await asyncio.sleep(0.005)
        assert not step.done()
        await later(storage, clock, "sooner", 60 * SECOND)
        await asyncio.wait_for(step, 5)

    run(story())


def test_without_anything_to_do_it_looks_at_the_poll_interval():
    async def story():
        storage, clock = await opened()
        promoter = Promoter(storage, clock=clock, poll=0.01)
        await asyncio.wait_for(promoter.step(), 5)

    run(story())
