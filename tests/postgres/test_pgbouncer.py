"""PgBouncer in front of the server passes queries, and hands the same session from one client to another."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.postgres.pgbouncer import PgBouncer


def test_a_query_passes_and_sessions_change_hands(pgbouncer: PgBouncer, postgres_database: str) -> None:
    async def main() -> None:
        url = pgbouncer.in_front_of(postgres_database)
        clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(8)]
        pids = {await client.fetchval("SELECT pg_backend_pid()", timeout=10) for client in clients for _ in range(2)}
        assert len(pids) < len(clients)
        for client in clients:
            await client.close()

    asyncio.run(main())


def test_the_mode_is_transaction(pgbouncer: PgBouncer, postgres_database: str) -> None:
    """What one client leaves in a session, the next one finds: that is what an adapter has to live with."""

    async def main() -> None:
        url = pgbouncer.in_front_of(postgres_database)
        first, second = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(2)]
        await first.execute("SET lock_timeout = '7s'")
        assert await second.fetchval("SHOW lock_timeout") == "7s"
        await first.close()
        await second.close()

    asyncio.run(main())
