"""PostgreSQL: submits, drains with one and two workers, waiting tasks, pick-up; on a server of the run's own."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

from angelica.domain.task import State
from bench import postgres_floor, postgres_peers
from bench.app import make_engine
from bench.figures import Figure, Report
from bench.latency import pick_up
from bench.server import server
from bench.sqlite import drain, filled, submits, waiting, workers
from tests.postgres.cluster import Cluster

GROUP = "postgres"
BACKLOG = 1_000_000


async def measure(report: Report, directory: Path, tasks: int) -> None:
    """Measure all of it."""
    with server(directory) as cluster:
        numbers = itertools.count()

        def fresh() -> str:
            return f"{cluster.url()}?schema=bench_{next(numbers)}"

        await submits(report, GROUP, fresh(), tasks, bulk_goal=80_000)
        for function in ("noop", "noop_sync"):
            for count in (1, 2):
                rate = await drain(fresh(), function, tasks, count)
                goal = 35_000.0 if (function, count) == ("noop", 2) else None
                kind = "async" if function == "noop" else "sync"
                report.add(Figure(GROUP, f"drain, {kind} no-op, {count} worker process(es)", rate, "tasks/s", goal))
        seconds = await waiting(fresh())
        report.add(Figure(GROUP, "5,000 tasks of 50 ms, 1 worker process", seconds, "s", 0.45, at_least=False))
        await latency(report, fresh(), fresh())
        await backlogs(report, cluster, fresh, tasks)
        await postgres_floor.measure(report, cluster.url(), tasks)
        for name, *_ in postgres_peers.PEERS:
            cluster.create_database(name.lower())
        postgres_peers.measure(report, directory, cluster.url())


async def backlogs(report: Report, cluster: Cluster, fresh: Callable[[], str], tasks: int) -> None:
    """Compare the drain of a large backlog with that of small ones, of which one comes before and one after it."""
    rates = [await steady(cluster, fresh(), backlog, tasks) for backlog in (tasks, BACKLOG, tasks)]
    few, many = (rates[0] + rates[2]) / 2, rates[1]
    report.add(Figure(GROUP, f"drain, backlog of {BACKLOG:,}, to one of {tasks:,}", many / few, "times", 0.8))


async def steady(cluster: Cluster, url: str, backlog: int, tasks: int) -> float:
    """Return the tasks a second of two worker processes between a tenth and nine tenths of the first `tasks`."""
    await filled(url, "noop", backlog)
    cluster.run("checkpoint")  # what the filling has left to be written is not the drain's
    reader = make_engine(url)
    await reader.start(worker=False)
    first, last = tasks // 10, tasks - tasks // 10
    seen: list[tuple[float, int]] = []
    with workers(url, 2):
        while not seen or seen[-1][1] < last:
            counts = await reader.storage.counts()
            seen.append((time.monotonic(), sum(n for (_, state), n in counts.items() if state is State.SUCCEEDED)))
            await asyncio.sleep(0.02)
    await reader.stop()
    begun = next(entry for entry in seen if entry[1] >= first)
    return (seen[-1][1] - begun[1]) / (seen[-1][0] - begun[0])


async def latency(report: Report, within: str, across: str) -> None:
    """Measure the pick-up with the worker in the same process, then in another."""
    await pick_up(report, GROUP, within, "same process", embedded=True)
    with workers(across, 1) as (process,):
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        await pick_up(report, GROUP, across, "across processes", embedded=False)
