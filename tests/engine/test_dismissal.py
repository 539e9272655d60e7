"""A stop from afar of a worker inside an application: the worker ends, the application goes on and submits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import angelica
from angelica.domain.task import State


def test_an_embedded_worker_ends_and_the_application_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        engine = angelica.Engine(tmp_path / "angelica.db", heartbeat="200ms", lease_ttl="4s")

        @engine.task(name="f")
        async def f() -> int:
            return 1

        async with engine:
            assert (await (await f.aenqueue()).aresult(timeout=5)) == 1
            (row,) = await engine.service.fleet.all()
            await engine.service.fleet.control(row.info.id, "stop")
            async with asyncio.timeout(5):
                while await engine.service.fleet.all():  # noqa: ASYNC110 - looks at what is stored
                    await asyncio.sleep(0.01)
            task = await f.aenqueue()
            await asyncio.sleep(0.1)
            assert (await engine.service.get(task.id)).state is State.QUEUED
            assert engine.state == "RUNNING"
            await engine.start()  # whoever wants one again
            assert (await (await engine.ahandle(task.id)).aresult(timeout=5)) == 1

    asyncio.run(story())
