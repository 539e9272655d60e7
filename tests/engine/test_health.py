"""What `health` says of queues that nobody serves."""

import asyncio

from angelica.engine import Engine


def test_ready_tasks_without_a_living_worker_are_told(shared) -> None:
    engine = Engine(str(shared))

    @engine.task(name="f")
    async def f() -> None: ...

    async def play() -> None:
        await engine.start(worker=False)
        assert (await engine.service.health()).failing == ()
        handle = await f.aenqueue()
        health = await engine.service.health()
        assert health.failing == ()
        assert health.detail["workers"] == "1 task(s) are ready and no worker lives"
        await engine.stop()
        async with engine:
            await (await engine.ahandle(handle.id)).aresult(10)
            assert "workers" not in (await engine.service.health()).detail

    asyncio.run(play())
