"""PostgreSQL: submits, drains with one and two workers, waiting tasks, pick-up; on a server of the run's own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import postgres_floor, postgres_peers
from bench.figures import Figure, Report
from bench.latency import pick_up
from bench.sqlite import drain, submits, waiting, workers
from tests.postgres.cluster import Cluster

GROUP = "postgres"


@contextmanager
def server(directory: Path) -> Iterator[Cluster]:
    """Run a server with durability as it comes (fsync, synchronous commit) until the block ends."""
    cluster = Cluster(directory / "postgres")
    directory.chmod(0o755)  # it runs as another user where we are root
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


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
        await postgres_floor.measure(report, cluster.url(), tasks)
        for name, *_ in postgres_peers.PEERS:
            cluster.create_database(name.lower())
        postgres_peers.measure(report, directory, cluster.url())


async def latency(report: Report, within: str, across: str) -> None:
    """Measure the pick-up with the worker in the same process, then in another."""
    await pick_up(report, GROUP, within, "same process", embedded=True)
    with workers(across, 1) as (process,):
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        await pick_up(report, GROUP, across, "across processes", embedded=False)
