"""Who gets what: slots, concurrency, several workers on one store, and functions that not every worker knows."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from angelica.domain import reasons
from angelica.domain.task import State
from tests.engine.house_of_engines import end_of, engine_on, run, stands, until


class Crowd:
    """Counts how many are inside at once."""

    def __init__(self):
        self.inside = self.most = self.entered = 0
        self._lock = threading.Lock()

    def enter(self):
        with self._lock:
            self.entered += 1
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self):
        with self._lock:
            self.inside -= 1


def crowded(engine, kind, crowd, seconds=0.01, **given):
    if kind == "async":

        @engine.task(name="crowded", **given)
        async def crowded():
            crowd.enter()
            await asyncio.sleep(seconds)
            crowd.leave()
    else:

        @engine.task(name="crowded", **given)
        def crowded():
            crowd.enter()
            time.sleep(seconds)
            crowd.leave()

    return crowded


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_slots_cap_what_runs_at_once(kind, url):
    async def story():
        engine, crowd = engine_on(url, slots=3), Crowd()
        function = crowded(engine, kind, crowd)
        async with engine:
            for handle in await function.aenqueue_many([() for _ in range(30)]):
                await end_of(handle)
            assert (crowd.most, crowd.entered) == (3, 30)

    run(story())


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_concurrency_caps_one_function_and_leaves_the_slots_to_others(kind):
    async def story():
        engine, crowd = engine_on(), Crowd()
        function = crowded(engine, kind, crowd, 0.02, concurrency=2)

        @engine.task
        async def other():
            return crowd.inside

        async with engine:
            handles = await function.aenqueue_many([() for _ in range(12)])
            await until(lambda: crowd.inside)
            assert await (await other.aenqueue()).aresult(5) <= 2
            assert not all([(await handle.arefresh()).task.is_terminal for handle in handles])
            for handle in handles:
                await end_of(handle)
            assert (crowd.most, crowd.entered) == (2, 12)

    run(story())


def test_a_worker_does_not_claim_slow_tasks_that_it_has_no_slot_for(url):
    async def story():
        engine = engine_on(url, slots=2)
        go = asyncio.Event()

        @engine.task
        async def slow():
            await go.wait()

        async with engine:
            handles = await slow.aenqueue_many([() for _ in range(6)])
            await stands(handles[0], State.RUNNING)
            await stands(handles[1], State.RUNNING)
            await asyncio.sleep(0.15)  # longer than the poll interval
            states = [(await handle.arefresh()).state for handle in handles]
            assert states == [State.RUNNING] * 2 + [State.QUEUED] * 4
            go.set()
            for handle in handles:
                await end_of(handle)

    run(story())


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_two_workers_on_one_store_both_get_work(kind, shared):
    async def story():
        engines = [engine_on(shared, slots=2) for _ in range(2)]
        crowds = [Crowd(), Crowd()]
        functions = [crowded(e, kind, c, 0.02) for e, c in zip(engines, crowds, strict=True)]
        async with engines[0], engines[1]:
            handles = await functions[0].aenqueue_many([() for _ in range(40)])
            for handle in handles:
                assert (await end_of(handle)).attempt == 1
        assert crowds[0].entered + crowds[1].entered == 40
        assert min(crowds[0].entered, crowds[1].entered) >= 8
        assert max(crowds[0].most, crowds[1].most) <= 2

    run(story())


def test_slow_tasks_that_follow_quick_ones_are_not_hoarded(shared):
    # The quick ones teach the first worker to claim ahead; of the slow ones it must hand back what it cannot begin.
    async def story():
        first, second = (engine_on(shared, slots=2) for _ in range(2))
        go = asyncio.Event()
        begun = {0: 0, 1: 0}

        @first.task
        async def quick():
            return None

        for number, engine in enumerate((first, second)):

            @engine.task(name="slow")
            async def slow(number=number):
                begun[number] += 1
                await go.wait()

        async with first:
            for handle in await quick.aenqueue_many([() for _ in range(200)]):
                await end_of(handle)
            handles = await first.functions.get("slow").aenqueue_many([() for _ in range(8)])
            await until(lambda: begun[0] == 2)
            async with second:
                await until(lambda: begun[1] == 2)
                go.set()
                for handle in handles:
                    task = await end_of(handle)
                    assert task.failures == 0

    run(story())


def test_a_task_of_an_unknown_function_is_parked_and_run_by_a_worker_that_knows_it(url):
    async def story():
        old = engine_on(url)

        @old.task
        async def known():
            return "known"

        async with old:
            stranger = known.using(retries=0)
            spec = (await stranger.using(delay=3_600).aenqueue()).task.spec
            spec = replace(spec, id="stranger", function="newer.code", run_at=spec.created_at)
            await old.storage.enqueue_many([spec], now=old.clock.now())
            handle = await old.ahandle("stranger")
            await until_held(handle)
            assert (handle.state, handle.task.failures, handle.task.crashes) == (State.QUEUED, 0, 0)
            assert (await old.service.why("stranger")).code == reasons.UNKNOWN_FUNCTION
            assert await (await known.aenqueue()).aresult(5) == "known"

            @old.task(name="newer.code")
            async def newer():
                return "newer"

            assert await handle.aresult(5) == "newer"

    run(story())


async def until_held(handle):
    ends_at = time.monotonic() + 5
    while (await handle.arefresh()).task.held is None:
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.003)


def test_a_worker_serves_the_queues_that_it_was_given(shared):
    async def story():
        mail, etl = engine_on(shared, queues="mail"), engine_on(shared, queues="etl")
        ran = []
        for name, engine in (("mail", mail), ("etl", etl)):

            @engine.task(name="f")
            async def f(name=name):
                ran.append(name)

        function = mail.functions.get("f")
        async with mail:
            handle = await function.using(queue="etl").aenqueue()
            await end_of(await function.using(queue="mail").aenqueue())
            assert (await handle.arefresh()).state is State.QUEUED
            async with etl:
                await end_of(handle)
        assert ran == ["mail", "etl"]

    run(story())


def test_slots_cap_coroutines_and_threads_together():
    async def story():
        engine, crowd = engine_on(slots=2), Crowd()

        @engine.task
        async def one():
            crowd.enter()
            await asyncio.sleep(0.005)
            crowd.leave()

        @engine.task
        def other():
            crowd.enter()
            time.sleep(0.005)
            crowd.leave()

        async with engine:
            handles = []
            for _ in range(15):
                handles += [await one.aenqueue(), await other.aenqueue()]
            for handle in handles:
                await end_of(handle)
            assert (crowd.most, crowd.entered) == (2, 30)

    run(story())
