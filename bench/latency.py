"""Pick-up latency at low load: from the acknowledgement of the submit to the handler's first line."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from bench.app import make_engine
from bench.figures import Figure, Report, percentile
from bench.sqlite import workers

GROUP = "latency"
ROUNDS = 300


async def measure(report: Report, directory: Path, rounds: int = ROUNDS) -> None:
    """Measure with the worker in the same process, then in another."""
    await pick_up(report, GROUP, str(directory / "latency-in.db"), "same process", embedded=True, rounds=rounds)
    url = str(directory / "latency-across.db")
    with workers(url, 1) as (process,):
        assert process.stdout is not None
        process.stdout.readline()
        await pick_up(report, GROUP, url, "across processes", embedded=False, rounds=rounds)


async def pick_up(report: Report, group: str, url: str, where: str, *, embedded: bool, rounds: int = ROUNDS) -> None:
    """Measure single tasks, one after the other with pauses between."""
    engine = make_engine(url)
    await engine.start(worker=embedded)
    arrive = engine.functions.get("arrive")
    assert arrive is not None
    chance = random.Random(1)
    waits = []
    for number in range(rounds + 20):
        handle = await arrive.aenqueue(number)
        acknowledged = time.clock_gettime(time.CLOCK_MONOTONIC)
        arrived = await handle.aresult(10)
        if number >= 20:  # noqa: PLR2004 - the first ones warm up
            waits.append(arrived - acknowledged)
        await asyncio.sleep(chance.uniform(0.002, 0.02))
    for share, goal in ((0.5, 1.5), (0.99, 5.0)):
        value = percentile(waits, share) * 1e3
        report.add(Figure(group, f"pick-up, {where}, p{share * 100:g}", value, "ms", goal, at_least=False))
    await engine.stop()
