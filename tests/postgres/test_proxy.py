"""The proxy's faults are what they are called: seen with asyncpg, which the adapter uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from tests.postgres.proxy import Proxy
from tests.postgres.server import Server

SHORT = 0.3
Body = Callable[[asyncpg.Connection], Awaitable[None]]
BROKEN = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@pytest.fixture
def url(postgres_proxy: Proxy, postgres_database: str) -> str:
    return postgres_proxy.in_front_of(postgres_database)


def connected(url: str, body: Body) -> None:
    async def main() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await body(connection)
        finally:
            connection.terminate()

    asyncio.run(main())


def test_without_a_fault_all_passes(url: str) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        text = await connection.fetchval("SELECT repeat('x', $1)", 1_000_000)
        assert len(text) == 1_000_000
        assert await connection.fetchval("SELECT length($1::text)", text) == 1_000_000

    connected(url, body)


def test_a_delay_comes_both_ways(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("SELECT 1")
        postgres_proxy.delay(0.1)
        before = time.monotonic()
        await connection.execute("SELECT 1")
        assert time.monotonic() - before >= 0.2
        postgres_proxy.through()
        assert await connection.fetchval("SELECT 2") == 2

    connected(url, body)


def test_what_is_held_comes_later(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        postgres_proxy.hold()
        asked = asyncio.ensure_future(connection.fetchval("SELECT 3"))
        done, _ = await asyncio.wait([asked], timeout=SHORT)
        assert not done
        postgres_proxy.through()
        assert await asked == 3

    connected(url, body)


def test_a_black_hole_swallows_what_there_is_and_what_comes(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        postgres_proxy.blackhole()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(connection.execute("SELECT 1"))), SHORT)
        with pytest.raises(TimeoutError):
            await asyncpg.connect(url, timeout=SHORT)
        postgres_proxy.through()
        await (await asyncpg.connect(url)).close()

    connected(url, body)


def test_a_black_hole_does_not_tell_of_the_servers_end(
    url: str, postgres_proxy: Proxy, postgres_cluster: Server
) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        pid = connection.get_server_pid()
        postgres_proxy.blackhole()
        postgres_cluster.run("SELECT pg_terminate_backend(%s, 5000)", None, pid)
        await asyncio.sleep(SHORT)
        assert not connection.is_closed()

    connected(url, body)


def test_a_reset_ends_connections_and_refuses_new_ones(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        asked = asyncio.ensure_future(connection.execute("SELECT pg_sleep(30)"))
        await asyncio.sleep(0.1)
        postgres_proxy.reset()
        with pytest.raises(BROKEN):
            await asked
        with pytest.raises(BROKEN):
            await asyncpg.connect(url)
        postgres_proxy.through()
        await (await asyncpg.connect(url)).close()

    connected(url, body)


@pytest.mark.parametrize("after", [0, 1, 100, 5_000])
def test_a_cut_comes_in_the_middle_of_a_reply(url: str, postgres_proxy: Proxy, after: int) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("SELECT 1")
        postgres_proxy.cut(after)
        with pytest.raises(BROKEN):
            await connection.fetch("SELECT repeat('x', 100) FROM generate_series(1, 100)")
        assert postgres_proxy.done == 1
        await (await asyncpg.connect(url)).close()  # once, not for good

    connected(url, body)


def test_a_cut_request_is_not_run(url: str, postgres_proxy: Proxy, postgres_cluster: Server) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("CREATE TABLE t (x text)")
        postgres_proxy.cut(500, "requests")
        with pytest.raises(BROKEN):
            await connection.execute("INSERT INTO t VALUES ($1)", "x" * 1000)
        again = await asyncpg.connect(url)
        assert await again.fetchval("SELECT count(*) FROM t") == 0
        await again.close()

    connected(url, body)


@pytest.mark.parametrize("arguments", [(), (1,)], ids=["simple", "extended"])
def test_a_dropped_reply_leaves_what_was_done(url: str, postgres_proxy: Proxy, arguments: tuple[int, ...]) -> None:
    statement = "INSERT INTO t VALUES ($1)" if arguments else "INSERT INTO t VALUES (1)"

    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("CREATE TABLE t (x int)")
        postgres_proxy.drop_reply_once("INSERT")
        assert await connection.fetchval("SELECT count(*) FROM t") == 0  # another statement is let be
        with pytest.raises(BROKEN):
            await connection.execute(statement, *arguments)
        assert postgres_proxy.done == 1
        again = await asyncpg.connect(url)
        assert await again.fetchval("SELECT count(*) FROM t") == 1
        await again.close()

    connected(url, body)


def test_the_reply_to_a_commit_can_be_dropped(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("CREATE TABLE t (x int)")
        await connection.execute("SELECT 1")
        postgres_proxy.drop_reply_once("COMMIT")
        with pytest.raises(BROKEN):
            async with connection.transaction():
                await connection.execute("INSERT INTO t VALUES ($1)", 1)
        again = await asyncpg.connect(url)
        assert await again.fetchval("SELECT count(*) FROM t") == 1
        await again.close()

    connected(url, body)


def test_a_prepared_statement_is_known_by_its_text(url: str, postgres_proxy: Proxy) -> None:
    async def body(connection: asyncpg.Connection) -> None:
        await connection.execute("CREATE TABLE t (x int)")
        insert = await connection.prepare("INSERT INTO t VALUES ($1)")
        await insert.fetch(1)
        postgres_proxy.drop_reply_once("INSERT")
        with pytest.raises(BROKEN):
            await insert.fetch(2)

    connected(url, body)
