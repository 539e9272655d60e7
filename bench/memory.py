"""The memory queue of `durable=False`: submit to executed, and the latency of one task."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from angelica.process import tune
from bench import app
from bench.app import make_engine
from bench.figures import Figure, Report, percentile

GROUP = "memory"
CALLERS = 500


async def measure(report: Report, directory: Path, tasks: int) -> None:
    """Measure throughput with 500 callers, then the latency of single submits."""
    tune()  # as in every process of ours
    engine = make_engine(str(directory / "memory.db"))
    await engine.start(worker=False)
    noop = engine.functions.get("noop_memory")
    arrive = engine.functions.get("arrive_memory")
    assert noop is not None
    assert arrive is not None

    async def caller(count: int) -> None:
        for number in range(count):
            await noop.aenqueue(number)

    each = tasks // CALLERS
    began = time.perf_counter()
    await asyncio.gather(*[caller(each) for _ in range(CALLERS)])
    while engine.lane.unfinished:  # noqa: ASYNC110 - what is measured must not pay for telling
        await asyncio.sleep(0.001)
    rate = each * CALLERS / (time.perf_counter() - began)
    report.add(Figure(GROUP, "memory queue, submit to executed", rate, "tasks/s", 48_000))
    waits = []
    for number in range(2_000):
        app.arrivals.clear()
        began = time.perf_counter()
        await arrive.aenqueue(number)
        while not app.arrivals:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        waits.append(app.arrivals[0][1] - began)
    half = percentile(waits, 0.5) * 1e6
    report.add(Figure(GROUP, "memory queue, submit to first line, p50", half, "µs", 100, at_least=False))
    report.add(Figure(GROUP, "memory queue, submit to first line, p99", percentile(waits, 0.99) * 1e6, "µs"))
    await engine.stop()
