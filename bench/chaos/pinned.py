"""One transaction that does nothing and holds its snapshot: nothing that dies meanwhile can be cleared away.

Every claim walks from the head of the index of what is ready, over all that was taken since.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from angelica.clock import Now
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask, Task
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import Claim

BATCH: Final = 50
PAUSE: Final = 0.025
"""Seconds between two submits: two thousand tasks a second in all."""
ROOM: Final = (("async", BATCH),)


@dataclass(slots=True)
class Load:
    """What a steady load met: (seconds since its beginning, seconds of the claim)."""

    claims: list[tuple[float, float]] = field(default_factory=list)

    def p99(self, since: float = 0.0) -> float:
        """Return the 99th percentile of the claims from a moment on."""
        waits = sorted(took for at, took in self.claims if at >= since)
        return waits[int(len(waits) * 0.99)] if waits else 0.0


async def loaded(url: str, seconds: float, queue: str) -> Load:
    """Submit and work off at a steady rate."""
    storage = PostgresStorage(url)
    await storage.open()
    load = Load()
    began = time.monotonic()
    feeder = asyncio.create_task(_feed(storage, began + seconds, queue))
    try:
        ends: list[Task] = []
        while time.monotonic() < began + seconds:
            now = _now()
            done = [complete(task, Succeeded("1"), now=now, chance=0.0) for task in ends]
            at = time.monotonic()
            reply = await storage.exchange(done, Claim("w", BATCH, ROOM, (queue,)), now=now)
            load.claims.append((at - began, time.monotonic() - at))
            ends = list(reply.claimed)
            if not ends:
                await asyncio.sleep(PAUSE / 5)
    finally:
        await feeder
        await storage.close()
    return load


async def _feed(storage: PostgresStorage, until: float, queue: str) -> None:
    number = 0
    while time.monotonic() < until:
        now = _now()
        tasks = [
            NewTask(f"{queue}-{number + n:09}", "f", "{}", run_at=now.wall, created_at=now.wall, queue=queue)
            for n in range(BATCH)
        ]
        number += BATCH
        await storage.enqueue_many(tasks, now=now)
        await asyncio.sleep(PAUSE)


def _now() -> Now:
    wall = time.time_ns() // 1000
    return Now(wall, wall, "boot")


@contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot of everything as it is now."""
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from pg_class")
        yield
        connection.rollback()
