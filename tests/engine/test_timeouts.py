"""Time-outs: of coroutines and of threads, of handlers that will not stop, and never of the wrong handler."""

from __future__ import annotations

import asyncio
import threading
import time

import angelica
from angelica.domain.task import State
from tests.engine.house_of_engines import end_of, engine_on, run, until


def test_a_coroutine_past_its_time_is_stopped_and_tried_again(url):
    async def story():
        engine = engine_on(url)
        stopped = []

        @engine.task(timeout=0.1, retries=1, backoff=angelica.Fixed(0.0))
        async def slow(context: angelica.Context):
            try:
                await asyncio.sleep(30)
            finally:
                stopped.append(context.cancelled())

        async with engine:
            task = await end_of(await slow.aenqueue())
            assert (task.state, task.error.reason, task.error.type) == (State.FAILED, "timeout", "TimeoutError")
            assert (task.attempt, task.failures, stopped) == (2, 2, [True, True])
            attempts = await engine.service.attempts(task.id)
            assert [each.outcome for each in attempts] == ["timeout", "timeout"]
            assert all(100_000 <= each.finished_at - each.started_at < 1_000_000 for each in attempts)

    run(story())


def test_a_thread_past_its_time_is_interrupted():
    async def story():
        engine = engine_on()
        stopped = threading.Event()

        @engine.task(timeout=0.1, retries=0)
        def slow():
            try:
                while True:
                    time.sleep(0.01)
            finally:
                stopped.set()

        async with engine:
            task = await end_of(await slow.aenqueue())
            assert (task.state, task.error.reason) == (State.FAILED, "timeout")
            assert stopped.is_set()

    run(story())


def test_a_thread_inside_a_c_call_keeps_its_slot_until_the_call_returns():
    async def story():
        engine = engine_on(slots=1)
        order = []

        @engine.task(timeout=0.1, retries=0)
        def blocked():
            order.append("in")
            time.sleep(0.6)  # one call into C: nothing can be thrown in before it returns
            order.append("never")

        @engine.task
        def after():
            order.append("after")

        async with engine:
            first = await blocked.aenqueue()
            await until(lambda: order)
            second = await after.aenqueue()
            task = await end_of(first)
            await end_of(second)
            assert order == ["in", "after"]
            assert task.error.reason == "timeout"
            assert task.finished_at - task.started_at >= 600_000
            assert second.task.started_at >= task.started_at + 600_000

    run(story())


def test_an_interrupt_never_lands_in_the_next_handler():
    # Handlers that end right at their time-out: the interrupt is thrown while they end, or just after.
    async def story():
        engine = engine_on(slots=2)
        harmed = []

        @engine.task(timeout=0.02, retries=0)
        def close_call():
            ends_at = time.perf_counter() + 0.02
            while time.perf_counter() < ends_at:
                pass

        @engine.task(retries=0)
        def innocent():
            try:
                sum(range(3_000))
            except BaseException as error:
                harmed.append(error)
                raise

        async with engine:
            handles = []
            for _ in range(40):
                handles += [await close_call.aenqueue(), await innocent.aenqueue()]
            ends = [await end_of(handle, 20) for handle in handles]
            assert harmed == []
            assert {end.state for end in ends[1::2]} == {State.SUCCEEDED}
            assert all(end.state is State.SUCCEEDED or end.error.reason == "timeout" for end in ends[::2])

    run(story())


def test_a_thread_that_swallows_its_interrupt_ends_as_it_returns_and_goes_on_working():
    async def story():
        engine = engine_on(slots=1)

        @engine.task(timeout=0.05, retries=0)
        def stubborn():
            try:
                while True:
                    time.sleep(0.005)
            except BaseException:  # noqa: BLE001 - as careless code does
                return "all the same"

        @engine.task(timeout=0.05, retries=0)
        def wraps():
            try:
                while True:
                    time.sleep(0.005)
            except BaseException as error:
                raise ValueError("wrapped") from error

        @engine.task
        def after():
            return "fine"

        async with engine:
            assert await (await stubborn.aenqueue()).aresult(5) == "all the same"
            task = await end_of(await wraps.aenqueue())
            assert task.error.type == "ValueError"
            assert await (await after.aenqueue()).aresult(5) == "fine"

    run(story())


def test_a_coroutine_that_swallows_its_cancellation_is_told_again():
    async def story():
        engine = engine_on()
        told = []

        @engine.task(timeout=0.05, retries=0)
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    told.append(1)
                    if len(told) == 2:
                        raise

        @engine.task(timeout=0.05, retries=0)
        async def shrugs():
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                return "made the best of it"

        async with engine:
            task = await end_of(await stubborn.aenqueue())
            assert (task.error.reason, len(told)) == ("timeout", 2)
            assert await (await shrugs.aenqueue()).aresult(5) == "made the best of it"

    run(story())


def test_many_time_outs_at_once_and_the_earliest_is_not_held_up_by_later_ones():
    async def story():
        engine = engine_on()

        @engine.task(retries=0)
        async def sleeps():
            await asyncio.sleep(30)

        async with engine:
            later = [await sleeps.using(timeout=0.4).aenqueue() for _ in range(20)]
            first = await sleeps.using(timeout=0.05).aenqueue()
            task = await end_of(first)
            assert task.finished_at - task.started_at < 350_000
            ends = [await end_of(handle) for handle in later]
            assert {end.error.reason for end in ends} == {"timeout"}

    run(story())


def test_no_time_out_means_none_and_a_handler_knows_its_own():
    async def story():
        engine = engine_on()

        @engine.task(timeout=None)
        async def free(context: angelica.Context):
            return [context.deadline is None, context.remaining()]

        @engine.task(timeout="30s")
        def bound(context: angelica.Context):
            return [context.deadline is not None, 29 < context.remaining() <= 30]

        async with engine:
            assert await (await free.aenqueue()).aresult(5) == [True, None]
            assert await (await bound.aenqueue()).aresult(5) == [True, True]

    run(story())
