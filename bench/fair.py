"""Fair queues: how long nine tenants wait while a tenth has 100,000 tasks in line, beside the nine without it.

`python -m bench.fair [seconds]`, on SQLite and on PostgreSQL; each of the nine brings a twentieth of what the worker
can do. Printed, and the goal is a ratio of two at the most.

One slot, since that is where the nine alone have to wait for each other too: with many slots of which most are idle
they do not wait at all, and beside a flood, which leaves none idle, for the next one that ends.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from angelica.engine import Engine
from bench.figures import Figure, Report, percentile
from bench.server import server

GROUP = "fair"
FLOOD = 100_000
SLOTS = 1
RUN_TIME = 0.05
LOAD = 0.05
SMALL = [f"small-{n}" for n in range(9)]
GOAL = 2.0


def make_engine(url: str, waits: list[float]) -> Engine:
    """Return an engine with one slot, whose tasks note how long after their submit they began."""
    engine = Engine(url, slots=SLOTS)

    @engine.task(name="tenant_work", queue="shared")
    async def tenant_work(asked_at: float) -> None:
        if asked_at:
            waits.append(time.monotonic() - asked_at)
        await asyncio.sleep(RUN_TIME)

    return engine


async def nine(engine: Engine, seconds: float) -> None:
    """Let nine tenants submit at random moments."""
    work = engine.functions.get("tenant_work")
    assert work is not None
    chance = random.Random(5)

    async def tenant(name: str) -> None:
        mine = work.using(headers={"tenant": name})
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            await asyncio.sleep(chance.expovariate(LOAD * SLOTS / RUN_TIME))
            await mine.aenqueue(time.monotonic())

    await asyncio.gather(*map(tenant, SMALL))


async def waits_of(url: str, seconds: float, *, flood: int) -> list[float]:
    """Return how long the tasks of the nine waited."""
    waits: list[float] = []
    engine = make_engine(url, waits)
    await engine.start(worker=False)
    await engine.service.limits.change("queue", "shared", {"fair": "tenant"})
    await asyncio.sleep(1.1)  # whoever submits knows of it within a second
    work = engine.functions.get("tenant_work")
    assert work is not None
    for start in range(0, flood, 10_000):
        calls = [(0.0,)] * min(10_000, flood - start)
        await work.using(headers={"tenant": "flood"}).aenqueue_many(calls)
    await engine.stop()
    engine = make_engine(url, waits)
    await engine.start()
    await nine(engine, 2.0)  # warm up: the run time is known then
    waits.clear()
    await nine(engine, seconds)
    await asyncio.sleep(1)
    await engine.stop()
    return waits


async def compare(report: Report, store: str, urls: tuple[str, str], seconds: float) -> None:
    """Measure with and without the flood on one kind of store."""
    found = {}
    for name, url, flood in (("alone", urls[0], 0), (f"beside {FLOOD:,}", urls[1], FLOOD)):
        waits = await waits_of(url, seconds, flood=flood)
        found[name] = percentile(waits, 0.95)
        note = f"{len(waits)} tasks, median {percentile(waits, 0.5) * 1e3:.1f} ms"
        report.add(Figure(GROUP, f"{store}: wait of nine, {name}, p95", found[name] * 1e3, "ms", note=note))
    alone, beside = found.values()
    report.add(Figure(GROUP, f"{store}: beside the flood to alone", beside / alone, "times", GOAL, at_least=False))


async def measure(report: Report, directory: Path, seconds: float = 40.0) -> None:
    """Measure on both stores."""
    await compare(report, "sqlite", (str(directory / "alone.db"), str(directory / "flood.db")), seconds)
    with server(directory) as cluster:
        urls = (f"{cluster.url()}?schema=alone", f"{cluster.url()}?schema=flood")
        await compare(report, "postgres", urls, seconds)


def main() -> None:
    report = Report.begin()
    directory = Path(tempfile.mkdtemp(prefix="angelica-bench-"))
    try:
        asyncio.run(measure(report, directory, float(sys.argv[1]) if len(sys.argv) > 1 else 40.0))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
