"""Without a listener, for a while or through a pooler for good, nobody waits longer than the poll interval."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psycopg
import pytest

from angelica import Engine
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import Topic
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.session import session
from tests.storage import test_wrap
from tests.storage.world import new

LISTENERS = "select pid from pg_stat_activity where application_name = 'angelica listener' and datname = %s"


def listeners(url: str) -> list[int]:
    parts = url.partition("?")[0]
    with psycopg.connect(parts, autocommit=True) as connection:
        return [pid for (pid,) in connection.execute(LISTENERS, [connection.info.dbname])]


def end(url: str, pids: list[int]) -> None:
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        for pid in pids:
            connection.execute("select pg_terminate_backend(%s, 5000)", [pid])


async def until_listening(url: str, others: list[int]) -> None:
    async with asyncio.timeout(10):
        while not set(await asyncio.to_thread(listeners, url)) - set(others):  # noqa: ASYNC110 - the server's state
            await asyncio.sleep(0.05)


def test_a_lost_listener_comes_back_and_rings_for_what_it_may_have_missed(postgres_url: str) -> None:
    async def story() -> None:
        ours, theirs = PostgresStorage(postgres_url), PostgresStorage(postgres_url)
        await ours.open()
        await until_listening(postgres_url, [])
        await theirs.open()
        mark = ours.mark(Topic.READY)
        pids = await asyncio.to_thread(listeners, postgres_url)
        await asyncio.to_thread(end, postgres_url, pids)
        assert await ours.wait(Topic.READY, mark, 10) > mark  # nobody rang: it is back
        await until_listening(postgres_url, pids)
        mark = ours.mark(Topic.READY)
        began = time.monotonic()
        await theirs.enqueue_many([new("a")], now=await theirs.time())
        while ours.mark(Topic.READY) == mark:
            assert time.monotonic() < began + 5
            await ours.wait(Topic.READY, mark, 5)
        await ours.close()
        await theirs.close()

    asyncio.run(story())


def pooled(pgbouncer: PgBouncer, url: str) -> str:
    """A schema through the pooler; it is made over the server's own address, as one has to."""

    async def make() -> None:
        storage = PostgresStorage(url)
        await storage.open()
        await storage.close()

    asyncio.run(make())
    return f"{pgbouncer.in_front_of(url)}&pooler=transaction"


def test_through_a_pooler_a_fault_at_any_call_loses_and_doubles_nothing(
    pgbouncer: PgBouncer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adapter(directory: Path, clock: object) -> PostgresStorage:
        return PostgresStorage(pooled(pgbouncer, session().fresh_url()), clock)

    monkeypatch.setitem(test_wrap.ADAPTERS, "pooled", adapter)
    expected, calls = test_wrap.life("memory", tmp_path / "0", {})
    for number in range(0, calls + 1, 5):
        assert test_wrap.life("pooled", tmp_path / f"pooled-{number}", {number: "after"})[0] == expected


def test_through_a_pooler_a_worker_does_what_is_submitted_elsewhere_and_fires_schedules(
    pgbouncer: PgBouncer, postgres_url: str
) -> None:
    url = pooled(pgbouncer, postgres_url)
    working, asking = Engine(url), Engine(url)
    seen: list[str] = []
    fired = asyncio.Event()

    @working.task(name="greet")
    async def greet(who: str) -> str:
        working.log.info("greeting %s", who)
        seen.append(who)
        if seen.count("again") > 1:
            fired.set()
        return f"hello {who}"

    @asking.task(name="greet")
    async def stub(who: str) -> str:
        raise AssertionError(who)

    async def story() -> None:
        async with working:
            await asking.start(worker=False)
            began = time.monotonic()
            handle = await stub.aenqueue("pool")
            assert await handle.aresult(10) == "hello pool"
            assert time.monotonic() - began < 5
            assert [line.message for line in await handle.alogs()] == ["greeting pool"]
            await greet.aschedule(every="1s", id="often", kwargs={"who": "again"})
            await asyncio.wait_for(fired.wait(), 15)
        await asking.stop()

    asyncio.run(story())
