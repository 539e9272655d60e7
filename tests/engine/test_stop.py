"""Stopping: what runs may finish, what waits goes back unharmed, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

import angelica
from angelica.domain.task import State
from angelica.errors import ShuttingDown
from tests.engine.house_of_engines import engine_on, run, stands, until


async def look(engine_url, *task_ids):
    """Read tasks through an engine of its own."""
    engine = engine_on(engine_url)
    await engine.start(worker=False)
    tasks = [await engine.service.get(task_id) for task_id in task_ids]
    await engine.stop()
    return tasks


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_what_runs_may_finish_and_what_waits_goes_back_at_no_cost(kind, shared):
    async def story():
        url = shared
        engine = engine_on(url, slots=1)
        begun, go = threading.Event(), threading.Event()

        if kind == "async":

            @engine.task
            async def works(n: int):
                begun.set()
                await asyncio.to_thread(go.wait)
                return n
        else:

            @engine.task
            def works(n: int):
                begun.set()
                go.wait()
                return n

        await engine.start()
        handles = [await works.aenqueue(n) for n in range(5)]
        await until(begun.is_set)
        stopping = asyncio.create_task(engine.stop())
        await until(lambda: engine.state == "SHUTDOWN")
        with pytest.raises(ShuttingDown):
            await works.aenqueue(9)
        go.set()
        await stopping
        assert engine.state == "TERMINATED"
        first, *rest = await look(url, *[handle.id for handle in handles])
        assert (first.state, first.result) == (State.SUCCEEDED, "0")
        assert all((task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0) for task in rest)

    run(story())


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_what_does_not_finish_in_time_is_stopped_and_handed_back_at_no_cost(kind, shared):
    async def story():
        url = shared
        engine = engine_on(url, grace=0.1)
        begun, stopped = threading.Event(), threading.Event()

        if kind == "async":

            @engine.task(retries=0)
            async def endless():
                begun.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    stopped.set()
        else:

            @engine.task(retries=0)
            def endless():
                begun.set()
                try:
                    while True:
                        time.sleep(0.005)
                finally:
                    stopped.set()

        await engine.start()
        handle = await endless.aenqueue()
        await until(begun.is_set)
        asked = time.monotonic()
        await engine.stop()
        assert 0.1 <= time.monotonic() - asked < 2.0
        assert stopped.is_set()
        (task,) = await look(url, handle.id)
        assert (task.state, task.failures, task.crashes, task.worker) == (State.QUEUED, 0, 0, None)

    run(story())


def test_a_second_stop_signal_cuts_the_grace_short(shared):
    async def story():
        engine = engine_on(shared, grace=60)
        begun = asyncio.Event()

        @engine.task
        async def endless():
            begun.set()
            await asyncio.sleep(60)

        await engine.start()
        handle = await endless.aenqueue()
        await begun.wait()
        hasten = asyncio.Event()
        stopping = asyncio.create_task(engine.stop(hasten=hasten))
        await until(lambda: engine.state == "SHUTDOWN")
        asked = time.monotonic()
        hasten.set()
        await stopping
        assert time.monotonic() - asked < 3.0
        (task,) = await look(shared, handle.id)
        assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)

    run(story())


def test_a_coroutine_that_will_not_stop_does_not_hold_up_the_stop(shared):
    async def story():
        engine = engine_on(shared, grace=0.05)
        begun, release = asyncio.Event(), asyncio.Event()

        @engine.task
        async def stubborn():
            begun.set()
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        await engine.start()
        handle = await stubborn.aenqueue()
        await begun.wait()
        asked = time.monotonic()
        await engine.stop()
        assert time.monotonic() - asked < 4.0
        release.set()
        (task,) = await look(shared, handle.id)
        assert task.state is State.QUEUED

    run(story())


def test_a_thread_that_will_not_stop_does_not_hold_up_the_stop(shared):
    release = threading.Event()

    async def story():
        engine = engine_on(shared, grace=0.05)
        begun = threading.Event()

        @engine.task
        def stubborn():
            begun.set()
            release.wait()

        await engine.start()
        handle = await stubborn.aenqueue()
        await until(begun.is_set)
        asked = time.monotonic()
        await engine.stop()
        assert time.monotonic() - asked < 4.0
        (task,) = await look(shared, handle.id)
        assert task.state is State.QUEUED

    run(story())
    release.set()


def test_a_task_that_finishes_in_the_grace_may_still_hand_on_work(shared):
    async def story():
        engine = engine_on(shared)
        begun, go, ids = asyncio.Event(), asyncio.Event(), []

        @engine.task
        async def second(): ...

        @engine.task
        async def first():
            begun.set()
            await go.wait()
            ids.append((await second.aenqueue()).id)

        await engine.start()
        await first.aenqueue()
        await begun.wait()
        stopping = asyncio.create_task(engine.stop())
        await until(lambda: engine.state == "SHUTDOWN")
        go.set()
        await stopping
        (task,) = await look(shared, *ids)
        assert task.state is State.QUEUED

    run(story())


def test_an_engine_can_be_used_again_after_a_stop(shared):
    async def story():
        engine = engine_on(shared)

        @engine.task
        async def f():
            return 1

        @engine.task(durable=False)
        async def fleeting():
            return 2

        for _ in range(3):
            async with engine:
                assert await (await f.aenqueue()).aresult(5) == 1
                assert await (await fleeting.aenqueue()).aresult(5) == 2
            await engine.stop()  # a second stop does no harm

    run(story())


def test_a_stopped_engine_takes_work_again_when_its_store_is_opened_again(shared):
    async def story():
        engine = engine_on(shared)

        @engine.task
        async def f():
            return 1

        async with engine:
            pass
        await engine.open()
        handle = await f.aenqueue()
        assert handle.state is State.QUEUED
        await engine.close()

    run(story())


def test_a_stop_before_a_start_does_no_harm(url):
    async def story():
        engine = engine_on(url)
        await engine.stop()
        await engine.start()
        await engine.stop()

    run(story())


def open_files():
    """How many descriptors this process has open (the one that lists them among them)."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_twenty_lives_leave_nothing_behind(tmp_path, shared):
    async def life(url):
        engine = engine_on(url)

        @engine.task
        async def f():
            return 1

        @engine.task
        def g():
            return 2

        @engine.task(durable=False)
        async def fleeting():
            return 3

        async with engine:
            assert await (await f.aenqueue()).aresult(5) == 1
            assert await (await g.aenqueue()).aresult(5) == 2
            assert await (await fleeting.aenqueue()).aresult(5) == 3

    async def story():
        url = shared
        await life(url)
        gc.collect()
        before = (open_files(), tasks(), sorted(p.name for p in tmp_path.rglob("*")))
        for _ in range(20):
            await life(url)
        gc.collect()
        await until(lambda: engine_threads() == [])
        after = (open_files(), tasks(), sorted(p.name for p in tmp_path.rglob("*")))
        assert after == before

    run(story())


def tasks():
    return len(asyncio.all_tasks())


def engine_threads():
    """Threads of ours that live (asyncio's own pool is shared by all, and grows to its bound)."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("angelica")]


def test_a_handler_is_told_that_it_must_stop(shared):
    async def story():
        engine = engine_on(shared, grace=0.1)
        seen, begun = [], threading.Event()

        @engine.task
        def watches(context: angelica.Context):
            begun.set()
            try:
                while True:
                    time.sleep(0.005)
            finally:
                seen.append(context.cancelled())

        await engine.start()
        handle = await watches.aenqueue()
        await until(begun.is_set)
        await stands(handle, State.RUNNING)
        await engine.stop()
        assert seen == [True]

    run(story())
