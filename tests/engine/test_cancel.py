"""Cancelling at every point of a task's life, from the engine that runs it and from another one on the same file."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import angelica
from angelica.domain.task import State
from angelica.errors import TaskCancelled
from tests.engine.house_of_engines import end_of, engine_on, run, stands, until


def declare_sleeper(engine, kind="async", **given):
    begun = threading.Event()
    if kind == "async":

        @engine.task(name="sleeper", **given)
        async def sleeper():
            begun.set()
            await asyncio.sleep(30)
    else:

        @engine.task(name="sleeper", **given)
        def sleeper():
            begun.set()
            while True:
                time.sleep(0.005)

    return sleeper, begun


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_a_running_task_is_stopped_within_a_second(kind, url):
    async def story():
        engine = engine_on(url, heartbeat=5)
        sleeper, begun = declare_sleeper(engine, kind, retries=5)
        async with engine:
            handle = await sleeper.aenqueue()
            await until(begun.is_set)
            asked = time.monotonic()
            assert await handle.acancel("enough") == "requested"
            with pytest.raises(TaskCancelled, match="enough"):
                await handle.aresult(5)
            assert time.monotonic() - asked < 1.0
            task = handle.task
            assert (task.state, task.attempt, task.error.message) == (State.CANCELLED, 1, "enough")
            assert await handle.acancel() == "finished"

    run(story())


def test_another_engine_on_the_same_file_stops_a_running_task_within_a_second(shared):
    async def story():
        here, there = (engine_on(shared, heartbeat=5) for _ in range(2))
        sleeper, begun = declare_sleeper(here)
        async with here:
            await there.start(worker=False)
            handle = await sleeper.aenqueue()
            await until(begun.is_set)
            asked = time.monotonic()
            assert await (await there.ahandle(handle.id)).acancel("from afar") == "requested"
            task = await end_of(handle)
            assert task.state is State.CANCELLED
            assert time.monotonic() - asked < 1.0
            await there.stop()

    run(story())


def test_a_waiting_and_a_delayed_task_end_at_once_and_never_run(url):
    async def story():
        engine = engine_on(url, slots=1)
        ran = []
        sleeper, begun = declare_sleeper(engine)

        @engine.task
        async def notes(n: int):
            ran.append(n)

        async with engine:
            first = await sleeper.aenqueue()
            await until(begun.is_set)
            waiting = await notes.aenqueue(1)
            delayed = await notes.using(delay=0.2).aenqueue(2)
            assert await waiting.acancel() == "cancelled"
            assert await delayed.acancel() == "cancelled"
            assert (waiting.state, delayed.state) == (State.CANCELLED, State.CANCELLED)
            await first.acancel()
            assert await (await notes.aenqueue(3)).aresult(5) is None
            await engine.storage.promote_due(now=engine.clock.now())
            assert ran == [3]

    run(story())


def test_a_task_that_backs_off_ends_at_once(url):
    async def story():
        engine = engine_on(url)

        @engine.task(retries=5, backoff=angelica.Fixed(3_600))
        async def fails():
            raise ValueError

        async with engine:
            handle = await fails.aenqueue()
            await stands(handle, State.SCHEDULED)
            assert await handle.acancel("give up") == "cancelled"
            assert handle.task.attempt == 1

    run(story())


def test_a_claimed_task_that_waits_for_its_functions_turn_is_cancelled_within_a_second(url):
    async def story():
        engine = engine_on(url)
        sleeper, begun = declare_sleeper(engine, concurrency=1)
        async with engine:
            first = await sleeper.aenqueue()
            await until(begun.is_set)
            behind = await sleeper.aenqueue()
            asked = time.monotonic()
            await behind.acancel("changed my mind")
            assert (await end_of(behind)).state is State.CANCELLED
            assert time.monotonic() - asked < 1.0
            assert (await first.arefresh()).state is State.RUNNING
            await first.acancel()
            await end_of(first)

    run(story())


def test_a_handler_may_see_the_cancel_and_end_in_its_own_way():
    async def story():
        engine = engine_on()
        begun = threading.Event()

        @engine.task
        def polite(context: angelica.Context):
            begun.set()
            try:
                while True:
                    time.sleep(0.005)
            except BaseException:
                assert context.cancelled()
                raise

        async with engine:
            handle = await polite.aenqueue()
            await until(begun.is_set)
            await handle.acancel()
            assert (await end_of(handle)).state is State.CANCELLED

    run(story())


def test_a_cancel_wins_over_a_retry_and_loses_to_an_end():
    async def story():
        engine = engine_on()
        begun, go = asyncio.Event(), asyncio.Event()

        @engine.task(retries=5, backoff=angelica.Fixed(0.0))
        async def deaf(fail: bool):
            begun.set()
            while not go.is_set():
                try:
                    await go.wait()
                except asyncio.CancelledError:
                    go.set()
            if fail:
                raise ValueError

        async with engine:
            for fail, state in ((True, State.CANCELLED), (False, State.SUCCEEDED)):
                begun.clear()
                go.clear()
                handle = await deaf.aenqueue(fail)
                await begun.wait()
                assert await handle.acancel() == "requested"
                assert (await end_of(handle)).state is state

    run(story())


def test_a_cancel_before_the_turn_leaves_no_place_of_its_function_taken():
    async def story():
        engine = engine_on(slots=1)
        go, begun = asyncio.Event(), []

        @engine.task
        async def quick():
            return None

        @engine.task
        async def blocks():
            begun.append("blocks")
            await go.wait()

        @engine.task(concurrency=1)
        async def single(n: int):
            begun.append(n)

        async with engine:
            for handle in await quick.aenqueue_many([() for _ in range(100)]):
                await end_of(handle)  # from now on it claims ahead
            first = await blocks.aenqueue()
            await until(lambda: begun)
            behind = await single.aenqueue(1)
            await behind.acancel()
            go.set()
            assert (await end_of(behind)).state is State.CANCELLED
            await end_of(first)
            assert (await end_of(await single.aenqueue(2))).state is State.SUCCEEDED
            assert begun == ["blocks", 2]

    run(story())
