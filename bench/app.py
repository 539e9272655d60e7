"""The functions that are measured: no-ops that take one small int, and 50 ms of waiting."""

from __future__ import annotations

import asyncio
import time

from angelica.engine import Engine

arrivals: list[tuple[int, float]] = []


def make_engine(url: str | None = None, **settings: object) -> Engine:
    """Return an engine with the measured functions declared."""
    engine = Engine(url, **settings)

    @engine.task(name="noop")
    async def noop(number: int) -> int:
        return number

    @engine.task(name="noop_sync")
    def noop_sync(number: int) -> int:
        return number

    @engine.task(name="io50")
    async def io50(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    @engine.task(name="arrive")
    async def arrive(_number: int) -> float:
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    @engine.task(name="noop_memory", durable=False)
    async def noop_memory(_number: int) -> None:
        return None

    @engine.task(name="arrive_memory", durable=False)
    async def arrive_memory(number: int) -> None:
        arrivals.append((number, time.perf_counter()))

    return engine
