"""A minute of submits, ends and prunes: the tables must not grow with what passed through them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from angelica.clock import Now
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask, Policy
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import Claim

BATCH: Final = 200
KEEP: Final = 5_000_000
"""Microseconds that an ended task is kept."""
ROOM: Final = (("async", BATCH),)
_TABLES: Final = ("tasks", "counters", "listing", "claims", "retention")
_SIZE: Final = "select " + " + ".join(f"pg_total_relation_size('angelica.{table}')" for table in _TABLES)


async def churn(url: str, seconds: float, sizes: list[tuple[float, int]]) -> int:
    """Work for so long, noting (seconds, bytes) every few seconds; return how many tasks passed through."""
    storage = PostgresStorage(url)
    await storage.open()
    began = noted = time.monotonic()
    done = 0
    while (passed := time.monotonic() - began) < seconds:
        wall = time.time_ns() // 1000
        now = Now(wall, wall, "boot")
        spec = NewTask("", "f", "{}", run_at=wall, created_at=wall, policy=Policy(retention=KEEP))
        await storage.enqueue_many([replace(spec, id=f"t-{done + n:09}") for n in range(BATCH)], now=now)
        reply = await storage.exchange((), Claim("w", BATCH, ROOM), now=now)
        ends = [complete(task, Succeeded("1"), now=now, chance=0.0) for task in reply.claimed]
        await storage.exchange(ends, None, now=now)
        await storage.prune(now=now, limit=2 * BATCH)
        done += BATCH
        if time.monotonic() - noted > 1:
            noted = time.monotonic()
            sizes.append((passed, await size(storage)))
    await storage.close()
    return done


async def size(storage: PostgresStorage) -> int:
    """Return the bytes of the tables that churn, with their indexes."""
    async with storage._here()[0].use() as raw:  # noqa: SLF001 - a measurement of the inside
        return int(await raw.fetchval(storage.address.adapt(_SIZE)))


def run(url: str, seconds: float) -> tuple[int, list[tuple[float, int]]]:
    """Return how many tasks passed through, and the sizes on the way."""
    sizes: list[tuple[float, int]] = []
    return asyncio.run(churn(url, seconds, sizes)), sizes
