"""What the tasks of a function need of a machine: declared with it, or said with a task, which goes before that."""

from __future__ import annotations

import asyncio

import angelica

DECLARED = {"cpu": 0.5, "memory": 64_000_000}


def test_a_task_needs_what_its_function_declares_unless_it_says_something_itself(url: str) -> None:
    engine = angelica.Engine(url, embed="off")

    @engine.task(name="render", resources={"cpu": 0.5, "memory": "64MB"})
    async def render() -> None: ...

    @engine.schedule(id="nightly", cron="0 2 * * *")
    @engine.task(name="nightly", resources={"cpu": 0.5, "memory": "64MB"})
    async def nightly() -> None: ...

    async def story() -> None:
        async with engine:
            handles = [
                await render.aenqueue(),
                *await render.aenqueue_many([(), ()]),
                await render.using(resources={"cpu": 2}).aenqueue(),
                await render.using(resources={}).aenqueue(),
            ]
            needs = [dict((await engine.service.get(each.id)).spec.extras.resources) for each in handles]
            assert needs == [DECLARED, DECLARED, DECLARED, {"cpu": 2.0}, {}]
            schedule = await engine.schedules.get("nightly")
            assert dict(schedule.run.extras.resources) == DECLARED

    asyncio.run(story())


def test_a_worker_runs_no_more_at_once_than_it_has_room_for() -> None:
    engine = angelica.Engine("memory:", worker_cpu=1)
    inside: list[int] = []
    most = 0

    @engine.task(resources={"cpu": 0.5})
    async def half(n: int) -> None:
        nonlocal most
        inside.append(n)
        most = max(most, len(inside))
        await asyncio.sleep(0.01)  # what it takes; others come and wait meanwhile
        inside.remove(n)

    async def story() -> None:
        async with engine:
            for handle in await half.aenqueue_many([(n,) for n in range(6)]):
                await handle.aresult(timeout=30)

    asyncio.run(story())
    assert most == 2
