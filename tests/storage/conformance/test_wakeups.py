"""Wake-ups: a write that makes work ready or ends tasks rings, from any thread, for any loop (laws 9, 11)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Failed, Released, Snoozed
from angelica.domain.task import TaskError
from angelica.storage.protocol import Topic
from tests.storage.world import START, World, new


def rings(world: World, act: Callable[[], object]) -> set[str]:
    """The topics that `act` rings."""
    before = {topic: world.storage.mark(topic) for topic in Topic}
    act()
    return {topic.value for topic in Topic if world.storage.mark(topic) > before[topic]}


def test_ready_work_rings(world: World) -> None:
    assert rings(world, lambda: world.submit(new("a"))) == {"ready"}
    assert rings(world, lambda: world.submit(new("a"))) == set()
    assert rings(world, lambda: world.submit(new("later", run_at=START + 1))) == {"due"}


def test_a_refused_atomic_batch_does_not_ring(world: World) -> None:
    world.submit(new("a"))
    assert rings(world, lambda: world.submit(new("b"), new("c", run_at=START + 1), new("a", "g"), atomic=True)) == set()


def test_promotion_rings(world: World) -> None:
    world.submit(new("a", run_at=START + 1))
    assert rings(world, lambda: world.run(world.storage.promote_due(now=world.now))) == set()
    world.clock.advance(1)
    assert rings(world, lambda: world.run(world.storage.promote_due(now=world.now))) == {"ready"}


def test_ends_ring(world: World) -> None:
    world.submit(new("a"), new("b"), new("c"), new("d"))
    a, b, c, d = world.claim()
    assert rings(world, lambda: world.end(a)) == {"ended"}
    assert rings(world, lambda: world.end(a)) == set()
    assert rings(world, lambda: world.end(b, Failed(TaskError("fail"), final=True))) == {"ended"}
    assert rings(world, lambda: world.end(c, Snoozed(START + SECOND))) == {"due"}
    assert rings(world, lambda: world.end(d, Released(held="unknown_function"))) == set()


def test_what_comes_back_ready_rings(world: World) -> None:
    task = world.start("a")
    assert rings(world, lambda: world.end(task, Released())) == {"ready"}


def test_a_freed_task_rings(world: World) -> None:
    world.end(world.start("a"), Released(held="unknown_function"))
    assert rings(world, lambda: world.beat("w2", functions=("g",))) == set()
    assert rings(world, lambda: world.beat("w2", functions=("f",))) == {"ready"}


def test_cancelling_rings_when_it_ends(world: World) -> None:
    world.start("running")
    world.submit(new("a"))
    assert rings(world, lambda: world.cancel("running")) == {"control"}
    assert rings(world, lambda: world.cancel("running")) == set()
    assert rings(world, lambda: world.cancel("a")) == {"ended"}
    assert rings(world, lambda: world.cancel("a")) == set()


def test_a_lapse_rings(world: World) -> None:
    world.submit(new("a", expires_at=START))
    assert rings(world, world.claim) == {"ended"}


def test_a_ring_that_came_before_the_wait_is_not_missed(world: World) -> None:
    mark = world.storage.mark(Topic.READY)
    world.submit(new("a"))
    assert world.run(asyncio.wait_for(world.storage.wait(Topic.READY, mark, 30.0), 5.0)) > mark


def test_a_wait_ends_at_its_time_out(world: World) -> None:
    mark = world.storage.mark(Topic.ENDED)
    assert world.run(world.storage.wait(Topic.ENDED, mark, 0.01)) == mark


def test_one_write_wakes_all_who_wait(world: World) -> None:
    async def scene() -> list[int]:
        mark = world.storage.mark(Topic.READY)
        waiting = [asyncio.ensure_future(world.storage.wait(Topic.READY, mark, 30.0)) for _ in range(3)]
        await asyncio.sleep(0)
        await world.storage.enqueue_many([new("a")], now=world.now)
        return [count - mark for count in await asyncio.wait_for(asyncio.gather(*waiting), 5.0)]

    assert all(count > 0 for count in world.run(scene()))


def test_a_wait_that_is_given_up_disturbs_nobody(world: World) -> None:
    async def scene() -> None:
        mark = world.storage.mark(Topic.READY)
        quitter = asyncio.ensure_future(world.storage.wait(Topic.READY, mark, 30.0))
        stayer = asyncio.ensure_future(world.storage.wait(Topic.READY, mark, 30.0))
        await asyncio.sleep(0)
        quitter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await quitter
        await world.storage.enqueue_many([new("a")], now=world.now)
        assert await asyncio.wait_for(stayer, 5.0) > mark

    world.run(scene())


def test_a_write_on_another_threads_loop_wakes_a_waiter_here(world: World) -> None:
    mark = world.storage.mark(Topic.READY)
    now = world.now

    async def scene() -> int:
        waiting = asyncio.ensure_future(world.storage.wait(Topic.READY, mark, 30.0))
        await asyncio.sleep(0)
        thread = threading.Thread(target=lambda: asyncio.run(world.storage.enqueue_many([new("a")], now=now)))
        thread.start()
        count = await asyncio.wait_for(waiting, 5.0)
        thread.join()
        return count

    assert world.run(scene()) > mark


def test_a_loop_that_ended_with_its_waiters_does_not_stop_the_bell(world: World) -> None:
    mark = world.storage.mark(Topic.READY)
    loop = asyncio.new_event_loop()
    loop.create_task(world.storage.wait(Topic.READY, mark, 30.0))  # noqa: RUF006 - it is found below
    loop.call_soon(loop.stop)
    loop.run_forever()
    left = asyncio.all_tasks(loop)  # as `asyncio.run` ends a loop: an adapter may have tasks of its own there
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
    world.submit(new("a"))
    assert world.storage.mark(Topic.READY) > mark


def test_only_what_was_stored_is_rung_for(world: World) -> None:
    world.submit(new("a"), new("b", queue="other"))
    again = (new("a"), new("c", run_at=START + 1), new("b", queue="other"), new("c"))
    assert rings(world, lambda: world.submit(*again)) == {"due"}
