"""What runs when: priority and ageing, delays, expiry, deadlines, and the same request again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from angelica.clock import MINUTE, SECOND
from angelica.domain.task import State
from angelica.errors import UniqueConflict
from tests.engine.house_of_engines import end_of, engine_on, run, stands


def recorder(engine, **given):
    ran = []

    @engine.task(name="record", **given)
    async def record(n: int):
        ran.append(n)

    return record, ran


def test_priority_goes_first_and_equals_keep_their_order(url):
    async def story():
        engine = engine_on(url, slots=1)
        record, ran = recorder(engine)
        await engine.open()
        handles = [await record.using(priority=p).aenqueue(n) for n, p in enumerate([0, 5, 0, -3, 5])]
        async with engine:
            for handle in handles:
                await end_of(handle)
        assert ran == [1, 4, 0, 2, 3]

    run(story())


def test_a_level_that_has_waited_long_goes_before_a_higher_one(url):
    async def story():
        engine = engine_on(url, slots=1)
        record, ran = recorder(engine)
        await engine.open()
        fresh = await record.using(priority=1).aenqueue(1)
        now = engine.clock.now()
        old = replace(fresh.task.spec, id="old", priority=0, payload='{"args":[0],"kwargs":{}}')
        old = replace(old, run_at=now.wall - 3 * MINUTE, created_at=now.wall - 3 * MINUTE)
        await engine.storage.enqueue_many([old], now=now)
        async with engine:
            await end_of(fresh)
            await end_of(await engine.ahandle("old"))
        assert ran == [0, 1]

    run(story())


def test_a_delayed_task_runs_at_its_moment_and_not_before(url):
    async def story():
        engine = engine_on(url)
        record, ran = recorder(engine)
        async with engine:
            handle = await record.using(delay=0.25).aenqueue(1)
            assert handle.state is State.SCHEDULED
            soon = await record.using(at=datetime.now(UTC) + timedelta(seconds=0.1)).aenqueue(2)
            for each in (soon, handle):
                task = await end_of(each)
                assert task.spec.run_at <= task.started_at < task.spec.run_at + SECOND
            assert ran == [2, 1]

    run(story())


def test_a_task_for_later_can_be_overtaken_by_one_for_sooner(url):
    async def story():
        engine = engine_on(url, poll=30, heartbeat=5)
        record, ran = recorder(engine)
        async with engine:
            await record.using(delay=3_600).aenqueue(1)
            task = await end_of(await record.using(delay=0.1).aenqueue(2))
            assert task.started_at - task.spec.run_at < SECOND  # woken by the second, not by a poll
            assert ran == [2]

    run(story())


@pytest.mark.parametrize("limit", ["expires", "deadline"])
def test_a_task_that_could_not_start_in_time_is_cancelled(limit, url):
    async def story():
        engine = engine_on(url, slots=1)
        record, ran = recorder(engine)
        go = asyncio.Event()

        @engine.task
        async def blocks():
            await go.wait()

        async with engine:
            first = await blocks.aenqueue()
            await stands(first, State.RUNNING)
            given = (
                {"expires": 0.05} if limit == "expires" else {"deadline": datetime.now(UTC) + timedelta(seconds=0.05)}
            )
            late = await record.using(**given).aenqueue(1)
            await asyncio.sleep(0.06)
            go.set()
            task = await end_of(late)
            reason = "expired" if limit == "expires" else "deadline"
            assert (task.state, task.error.reason, task.attempt) == (State.CANCELLED, reason, 0)
            assert ran == []

    run(story())


def test_no_retry_begins_after_the_deadline(url):
    async def story():
        engine = engine_on(url)

        @engine.task(retries=10)
        async def fails():
            raise ValueError

        async with engine:
            moment = datetime.now(UTC) + timedelta(seconds=0.5)
            task = await end_of(await fails.using(deadline=moment).aenqueue())
            assert (task.state, task.attempt, task.error.type) == (State.FAILED, 1, "ValueError")

    run(story())


def test_the_same_unique_key_is_one_task_while_it_lives(url):
    async def story():
        engine = engine_on(url)
        go = asyncio.Event()

        @engine.task(unique="{customer}")
        async def bill(customer: int):
            await go.wait()

        async with engine:
            first = await bill.aenqueue(7)
            again = await bill.aenqueue(7)
            other = await bill.aenqueue(8)
            assert (first.created, again.created, other.created) == (True, False, True)
            assert first.id == again.id != other.id
            go.set()
            await end_of(first)
            assert (await bill.aenqueue(7)).created

    run(story())


def test_a_unique_key_can_refuse(url):
    async def story():
        engine = engine_on(url)
        record, _ = recorder(engine)
        once = record.using(delay=60, unique={"key": "k", "on_conflict": "reject"})
        await engine.open()
        first = await once.aenqueue(1)
        with pytest.raises(UniqueConflict) as caught:
            await once.aenqueue(2)
        assert caught.value.task_id == first.id
        await engine.stop()

    run(story())
