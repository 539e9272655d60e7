"""Tasks that are not durable: in this process's memory, bounded, with a policy for when it is full."""

from __future__ import annotations

import asyncio

import pytest

import angelica
from angelica.domain.task import State
from angelica.errors import QueueFull, TaskCancelled
from angelica.storage.protocol import TaskFilter
from tests.engine.house_of_engines import end_of, engine_on, run, stands


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_a_task_that_is_not_durable_runs_here_and_is_never_stored(kind, url):
    async def story():
        engine = engine_on(url)
        if kind == "async":

            @engine.task(durable=False)
            async def fleeting(n: int):
                return n + 1
        else:

            @engine.task(durable=False)
            def fleeting(n: int):
                return n + 1

        async with engine:
            handle = await fleeting.aenqueue(1)
            assert (handle.durable, await handle.aresult(5)) == (False, 2)
            assert await engine.storage.get_tasks([handle.id]) == (None,)
            assert (await engine.service.get(handle.id)).state is State.SUCCEEDED
            page = await engine.service.list(TaskFilter(), durable=False)
            assert [task.id for task in page.items] == [handle.id]

    run(story())


def test_it_keeps_what_durable_tasks_have(url):
    async def story():
        engine = engine_on(url)
        calls = []

        @engine.task(durable=False, retries=2, backoff=angelica.Fixed(0.0))
        async def flaky(context: angelica.Context):
            calls.append(1)
            context.log.info("try %d", context.attempt)
            if len(calls) < 3:
                raise ValueError
            return "third"

        @engine.task(durable=False)
        async def endless():
            await asyncio.sleep(30)

        async with engine:
            handle = await flaky.using(delay=0.05).aenqueue()
            assert await handle.aresult(5) == "third"
            assert [line.message for line in await handle.alogs()] == ["try 1", "try 2", "try 3"]
            handle = await endless.aenqueue()
            await stands(handle, State.RUNNING)
            await handle.acancel("now")
            with pytest.raises(TaskCancelled):
                await handle.aresult(2)

    run(story())


@pytest.mark.parametrize("policy", ["reject", "spill", "drop_oldest"])
def test_a_full_lane_does_what_its_policy_says(policy, url):
    async def story():
        engine = engine_on(url, memory_bound=3, slots=1)
        go, ran = asyncio.Event(), []

        @engine.task(durable=False, overflow=policy)
        async def f(n: int):
            await go.wait()
            ran.append(n)

        async with engine:
            first = await f.aenqueue(0)
            await stands(first, State.RUNNING)
            kept = [await f.aenqueue(1), await f.aenqueue(2)]
            if policy == "reject":
                with pytest.raises(QueueFull):
                    await f.aenqueue(3)
                go.set()
                for handle in [first, *kept]:
                    await end_of(handle)
                assert ran == [0, 1, 2]
                assert (await f.aenqueue(4)).durable is False
            elif policy == "spill":
                spilled = await f.aenqueue(3)
                assert spilled.durable is True
                assert (await engine.storage.get_tasks([spilled.id]))[0] is not None
                go.set()
                for handle in [first, *kept, spilled]:
                    await end_of(handle)
                assert sorted(ran) == [0, 1, 2, 3]
            else:
                newest = await f.aenqueue(3)
                go.set()
                for handle in [first, kept[1], newest]:
                    assert (await end_of(handle)).state is State.SUCCEEDED
                dropped = await end_of(kept[0])
                assert (dropped.state, dropped.error.reason) == (State.CANCELLED, "overflow")
                assert ran == [0, 2, 3]

    run(story())


def test_the_lane_is_served_even_where_no_worker_is_embedded(url):
    async def story():
        engine = engine_on(url, embed="off")

        @engine.task(durable=False)
        async def fleeting():
            return 1

        @engine.task
        async def durable():
            return 2

        async with engine:
            assert await (await fleeting.aenqueue()).aresult(5) == 1
            assert (await durable.aenqueue()).state is State.QUEUED

    run(story())
