"""What `health` says of queues that nobody serves."""

import asyncio

import psycopg
import pytest

from angelica.engine import Engine
from angelica.storage.postgres import insight


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


def test_a_session_that_keeps_dead_rows_is_told_and_no_failure(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insight, "WARN_AFTER", 0.0)
    engine = Engine(postgres_url)

    async def play() -> None:
        await engine.start(worker=False)
        health = await engine.service.health()
        await engine.stop()
        assert health.failing == ()
        # Other tests on this server have open transactions too.
        told = [text for text in health.detail["store"]["warnings"] if f"pid {idle.info.backend_pid} " in text]
        assert len(told) == 1
        assert told[0].endswith(f": select pg_terminate_backend({idle.info.backend_pid})")

    with psycopg.connect(postgres_url.partition("?")[0]) as idle:
        idle.execute("select pg_current_xact_id()")
        asyncio.run(play())
