"""Workers asked from another engine: heard at once, long before the next heartbeat; a stop of one in an application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import angelica
from angelica.clock import tick_micros
from angelica.domain.task import State

SLOW = {"heartbeat": "30s", "lease_ttl": "60s"}
"""So that nothing but the wake-up can bring what was asked."""


async def until(true: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - looks at what is stored
            await asyncio.sleep(0.01)


def test_a_worker_follows_within_a_second(shared: str) -> None:
    async def story() -> None:
        engine = angelica.Engine(shared, **SLOW)

        @engine.task(name="f")
        async def f() -> int:
            return 1

        async with engine, angelica.Engine(shared, embed="off") as other:
            fleet = other.service.fleet
            (row,) = await fleet.all()

            async def follows(control: str) -> bool:
                return (await fleet.one(row.info.id)).info.heeds == control

            for control in ("drain", "run", "drain"):
                began = tick_micros()
                await fleet.control(row.info.id, control)
                await until(lambda wanted=control: follows(wanted))
                assert tick_micros() - began < 1_000_000
            task = await f.aenqueue()
            await asyncio.sleep(1.2)  # more than a poll
            assert (await other.service.get(task.id)).state is State.QUEUED
            await fleet.control(row.info.id, "run")
            assert await task.aresult(timeout=5) == 1

    asyncio.run(story())


def test_an_embedded_worker_ends_and_the_application_goes_on(shared: str) -> None:
    async def story() -> None:
        engine = angelica.Engine(shared, **SLOW)

        @engine.task(name="f")
        async def f() -> int:
            return 1

        async with engine:
            assert await (await f.aenqueue()).aresult(timeout=5) == 1
            fleet = engine.service.fleet
            (row,) = await fleet.all()
            await fleet.control(row.info.id, "stop")

            async def gone() -> bool:
                return not await fleet.all()

            await until(gone, 5)
            task = await f.aenqueue()
            await asyncio.sleep(0.1)
            assert (await engine.service.get(task.id)).state is State.QUEUED
            assert engine.state == "RUNNING"
            await engine.start()  # whoever wants one again
            assert await (await engine.ahandle(task.id)).aresult(timeout=5) == 1

    asyncio.run(story())


def test_what_runs_ends_and_nothing_is_begun_while_it_drains(shared: str) -> None:
    async def story() -> None:
        engine = angelica.Engine(shared, slots=2, **SLOW)
        gate = asyncio.Event()

        @engine.task(name="f")
        async def f(n: int) -> int:
            await gate.wait()
            return n

        async with engine:
            tasks = await f.aenqueue_many([(n,) for n in range(5)])
            fleet = engine.service.fleet
            (row,) = await fleet.all()

            async def running() -> bool:
                return (await fleet.one(row.info.id)).running == 2

            await until(running)
            await fleet.control(row.info.id, "drain")
            await asyncio.sleep(0.5)
            gate.set()

            async def idle() -> bool:
                return (await fleet.one(row.info.id)).running == 0

            await until(idle)
            states = [(await engine.service.get(task.id)).state for task in tasks]
            assert sorted(states) == [State.QUEUED] * 3 + [State.SUCCEEDED] * 2
            await fleet.control(row.info.id, "run")
            assert sorted([await task.aresult(timeout=5) for task in tasks]) == list(range(5))

    asyncio.run(story())
