"""The storage itself: its clock, its status, its close, and calls from many threads (laws 10, 11)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from angelica.errors import StorageUnavailable
from angelica.storage.protocol import Claim, Topic
from tests.storage.world import World, new


def test_its_status_says_what_it_is(world: World) -> None:
    status = world.run(world.storage.status())
    assert status.kind
    assert status.url


def test_close_may_be_called_twice(world: World) -> None:
    world.run(world.storage.close())
    world.run(world.storage.close())


def test_a_closed_storage_refuses_to_write(world: World) -> None:
    world.submit(new("a"))
    world.run(world.storage.close())
    with pytest.raises(StorageUnavailable):
        world.submit(new("b"))
    with pytest.raises(StorageUnavailable):
        world.claim()


def test_close_lets_waiters_go(world: World) -> None:
    async def scene() -> None:
        waiting = asyncio.ensure_future(world.storage.wait(Topic.READY, world.storage.mark(Topic.READY), 30.0))
        await asyncio.sleep(0)
        await world.storage.close()
        await asyncio.wait_for(waiting, 5.0)

    world.run(scene())


def test_the_time_moves_with_the_clock_it_was_given(world: World) -> None:
    before = world.run(world.storage.time())
    world.clock.advance(5)
    after = world.run(world.storage.time())
    assert after.tick - before.tick == 5
    assert after.boot == before.boot


def test_many_threads_submit_and_claim_each_task_once(world: World) -> None:
    now = world.now
    claimed: list[str] = []

    async def life(number: int) -> None:
        for n in range(20):
            await world.storage.enqueue_many([new(f"{number}-{n}")], now=now)
            reply = await world.storage.exchange([], Claim(f"w{number}", 2, (("async", 2),)), now=now)
            claimed.extend(task.id for task in reply.claimed)

    threads = [threading.Thread(target=lambda n=number: asyncio.run(life(n))) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    claimed.extend(task.id for task in world.claim())
    assert sorted(claimed) == sorted(f"{number}-{n}" for number in range(4) for n in range(20))
