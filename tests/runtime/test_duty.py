"""Duties: loops that outlive whatever their step meets, and say what is wrong."""

from __future__ import annotations

import asyncio

from angelica.errors import StorageUnavailable
from angelica.runtime.duty import Duty
from tests.runtime.house_of_attempts import run, until


def never_random():
    return 0.0


def test_a_nudge_calls_the_step_long_before_its_time():
    async def story():
        calls = []

        async def step():
            calls.append(1)
            return 3_600.0

        duty = Duty("d", step, chance=never_random)
        duty.start()
        await until(lambda: len(calls) == 1)
        duty.nudge()
        await until(lambda: len(calls) == 2)
        await duty.stop()
        await duty.stop()

    run(story())


def test_a_nudge_during_the_step_is_not_lost():
    async def story():
        calls = []

        async def step():
            calls.append(1)
            if len(calls) == 1:
                duty.nudge()
            return 3_600.0

        duty = Duty("d", step, chance=never_random)
        duty.start()
        await until(lambda: len(calls) == 2)
        await duty.stop()

    run(story())


def test_a_step_that_fails_is_tried_again_and_its_problem_is_shown(caplog):
    async def story():
        calls, go = [], asyncio.Event()

        async def step():
            calls.append(1)
            if len(calls) == 1:
                raise StorageUnavailable("down")
            if len(calls) == 2:
                raise LookupError("a bug")
            await go.wait()
            return 3_600.0

        duty = Duty("d", step, chance=never_random)
        duty.start()
        await until(lambda: duty.problem == "StorageUnavailable: down")
        await until(lambda: duty.problem == "LookupError: a bug")
        await until(lambda: len(calls) == 3)
        go.set()
        await until(lambda: duty.problem is None)
        await duty.stop()

    run(story())
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "ERROR"]


def test_a_stop_that_comes_together_with_a_nudge_still_ends_it():
    # Python 3.11's wait_for swallows a cancel that comes in the same turn as its result.
    async def story():
        async def step():
            return 3_600.0

        for turns in range(8):
            duty = Duty("d", step, chance=never_random)
            duty.start()
            await asyncio.sleep(0.001)
            duty.nudge()
            for _ in range(turns):
                await asyncio.sleep(0)
            await duty.stop()

    run(story(), 10)
