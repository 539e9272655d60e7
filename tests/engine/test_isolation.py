"""What one attempt does to its surroundings stays with it: context variables, cancel scopes, left-over tasks."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import anyio
import pytest

import angelica
from angelica.domain.task import State
from tests.engine.house_of_engines import end_of, engine_on, run

MARK: ContextVar[str] = ContextVar("MARK", default="clean")


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_no_attempt_sees_the_context_variables_of_another(kind):
    async def story():
        engine = engine_on(slots=2)

        def look(n):
            found = MARK.get()
            MARK.set(f"dirty {n}")
            return [found, MARK.get()]

        if kind == "async":

            @engine.task
            async def marks(n: int):
                if n % 2:
                    await asyncio.sleep(0.001)
                return look(n)
        else:

            @engine.task
            def marks(n: int):
                return look(n)

        async with engine:
            handles = await marks.aenqueue_many([(n,) for n in range(60)])
            seen = [await handle.aresult(10) for handle in handles]
            assert seen == [["clean", f"dirty {n}"] for n in range(60)]

    run(story())


def test_a_handler_sees_its_own_attempt_in_children_and_threads_too():
    async def story():
        engine = engine_on()

        @engine.task
        async def nested(n: int):
            async def inside():
                await asyncio.sleep(0.001)
                return engine.current().id

            ids = {engine.current().id, await inside(), await asyncio.to_thread(lambda: engine.current().id)}
            async with asyncio.TaskGroup() as group:
                child = group.create_task(inside())
            return sorted(ids | {child.result()})

        @engine.task
        def plain():
            return engine.current().id

        async with engine:
            for handle in await nested.aenqueue_many([(n,) for n in range(20)]):
                assert await handle.aresult(5) == [handle.id]
            handle = await plain.aenqueue()
            assert await handle.aresult(5) == handle.id
            with pytest.raises(angelica.AngelicaError, match="no current task"):
                engine.current()

    run(story())


def test_time_outs_and_groups_inside_a_handler_work_and_do_no_harm():
    async def story():
        engine = engine_on(slots=2)

        @engine.task(retries=0)
        async def own_timeout():
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(30)
            except TimeoutError:
                return "own"

        @engine.task(retries=0)
        async def leaks_timeout():
            async with asyncio.timeout(0.01):
                await asyncio.sleep(30)

        @engine.task(retries=0)
        async def group():
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(30))
                raise ValueError("first")

        @engine.task(retries=0)
        async def scope():
            with anyio.move_on_after(0.01) as scope:
                await anyio.sleep(30)
            return scope.cancelled_caught

        @engine.task(retries=0)
        async def any_group():
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 30)
                await anyio.sleep(0.001)
                group.cancel_scope.cancel()
            return "left"

        async with engine:
            for _ in range(3):
                assert await (await own_timeout.aenqueue()).aresult(5) == "own"
                task = await end_of(await leaks_timeout.aenqueue())
                assert (task.error.reason, task.error.type) == ("exception", "TimeoutError")
                assert (await end_of(await group.aenqueue())).error.type == "ExceptionGroup"
                assert await (await scope.aenqueue()).aresult(5) is True
                assert await (await any_group.aenqueue()).aresult(5) == "left"

    run(story())


def test_a_time_out_of_the_engine_ends_groups_and_scopes_inside():
    async def story():
        engine = engine_on()
        ended = []

        async def child():
            try:
                await asyncio.sleep(30)
            finally:
                ended.append(1)

        @engine.task(timeout=0.05, retries=0)
        async def outer():
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(child())

        async with engine:
            task = await end_of(await outer.aenqueue())
            assert (task.error.reason, ended) == ("timeout", [1, 1])

    run(story())


def test_a_handler_that_cancels_itself_ends_as_failed_and_the_next_one_runs():
    async def story():
        engine = engine_on(slots=1)

        @engine.task(retries=0)
        async def suicidal():
            asyncio.current_task().cancel()
            await asyncio.sleep(30)

        @engine.task(retries=0)
        async def raises_it():
            raise asyncio.CancelledError

        @engine.task
        async def well():
            await asyncio.sleep(0)
            return 1

        async with engine:
            for function in (suicidal, raises_it):
                task = await end_of(await function.aenqueue())
                assert (task.state, task.error.type) == (State.FAILED, "asyncio.exceptions.CancelledError")
                assert await (await well.aenqueue()).aresult(5) == 1

    run(story())


def test_what_a_handler_left_behind_cannot_stop_the_worker():
    async def story():
        engine = engine_on(slots=1)

        @engine.task
        async def leaves_a_bomb():
            asyncio.get_running_loop().call_later(0.01, asyncio.current_task().cancel)

        @engine.task(retries=2, backoff=angelica.Fixed(0.0))
        async def well():
            await asyncio.sleep(0.005)
            return 1

        async with engine:
            for _ in range(5):
                await end_of(await leaves_a_bomb.aenqueue())
                await asyncio.sleep(0.015)  # the bomb goes off while its runner rests
                assert await (await well.aenqueue()).aresult(5) == 1
                await end_of(await leaves_a_bomb.aenqueue())
                assert await (await well.aenqueue()).aresult(5) == 1  # here it may hit this attempt, which is retried

    run(story())


def test_a_handler_that_never_waits_does_not_hold_up_the_others():
    async def story():
        engine = engine_on()
        spun = threading.Event()

        @engine.task
        async def spins():
            spun.set()

        async with engine:
            await spins.aenqueue_many([() for _ in range(2_000)])
            handle = await spins.aenqueue()
            assert await handle.aresult(10) is None

    run(story())
