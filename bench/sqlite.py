"""SQLite: submits one by one, from many callers and in bulk; drains with one and two workers; waiting tasks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from angelica.domain.task import State
from angelica.engine import Engine
from angelica.process import tune
from angelica.storage.protocol import TaskFilter
from bench.app import make_engine
from bench.figures import Figure, Report

GROUP = "sqlite"
CALLERS = 500
BATCH = 1_000
WAITING = 5_000


async def measure(report: Report, directory: Path, tasks: int) -> None:
    """Measure all of it."""
    await submits(report, GROUP, str(directory / "submit.db"), tasks, bulk_goal=150_000)
    for function in ("noop", "noop_sync"):
        for workers in (1, 2):
            rate = await drain(str(directory / f"drain-{function}-{workers}.db"), function, tasks, workers)
            goal = 50_000.0 if (function, workers) == ("noop", 2) else None
            kind = "async" if function == "noop" else "sync"
            report.add(Figure(GROUP, f"drain, {kind} no-op, {workers} worker process(es)", rate, "tasks/s", goal))
    seconds = await waiting(str(directory / "waiting.db"))
    report.add(Figure(GROUP, "5,000 tasks of 50 ms, 1 worker process", seconds, "s", 0.45, at_least=False))


async def submits(report: Report, group: str, url: str, tasks: int, *, bulk_goal: float) -> None:
    """Submit through `aenqueue`: one caller, 500 callers, and in bulk."""
    tune()  # as in every process of ours
    engine = make_engine(url)
    await engine.start(worker=False)
    noop = engine.functions.get("noop")
    assert noop is not None
    began = time.perf_counter()
    for number in range(500):
        await noop.aenqueue(number)
    report.add(Figure(group, "submit, one caller", 500 / (time.perf_counter() - began), "tasks/s"))

    async def caller(count: int) -> None:
        for number in range(count):
            await noop.aenqueue(number)

    each = tasks // CALLERS
    began = time.perf_counter()
    await asyncio.gather(*[caller(each) for _ in range(CALLERS)])
    rate = each * CALLERS / (time.perf_counter() - began)
    report.add(
        Figure(group, f"submit, {CALLERS} concurrent callers", rate, "tasks/s", 50_000 if group == GROUP else None)
    )
    calls = [(number,) for number in range(BATCH)]
    began = time.perf_counter()
    await asyncio.gather(*[bulk(noop, calls, tasks // BATCH // 4) for _ in range(4)])
    rate = tasks // BATCH // 4 * 4 * BATCH / (time.perf_counter() - began)
    report.add(Figure(group, f"submit in bulk, {BATCH} a call", rate, "tasks/s", bulk_goal))
    await engine.stop()


async def bulk(function: object, calls: list[tuple[int]], times: int) -> None:
    for _ in range(times):
        await function.aenqueue_many(calls)  # type: ignore[attr-defined]


async def filled(url: str, function: str, tasks: int) -> None:
    """Store tasks with no worker there."""
    engine = make_engine(url)
    await engine.start(worker=False)
    noop = engine.functions.get(function)
    for start in range(0, tasks, BATCH):
        await noop.aenqueue_many([(number,) for number in range(start, min(start + BATCH, tasks))])  # type: ignore[union-attr]
    await engine.stop()


@contextmanager
def workers(url: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run worker processes, which begin together, until the block ends."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.worker", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


async def until_done(engine: Engine, tasks: int, timeout: float = 300.0) -> None:
    """Wait until so many tasks have succeeded."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        counts = await engine.storage.counts()
        if sum(n for (_, state), n in counts.items() if state is State.SUCCEEDED) >= tasks:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"{tasks} tasks did not end within {timeout} s: {dict(counts)}")


async def span(engine: Engine) -> float:
    """Return the seconds between the first start and the last end, as the store has them."""
    first, last = 1 << 62, 0
    cursor = None
    while True:
        page = await engine.storage.list_tasks(TaskFilter(), limit=500, after=cursor)
        for task in page.items:
            first = min(first, task.started_at or first)
            last = max(last, task.finished_at or 0)
        cursor = page.next
        if cursor is None:
            return (last - first) / 1e6


async def drain(url: str, function: str, tasks: int, count: int) -> float:
    """Return the tasks a second of worker processes that find a full queue."""
    await filled(url, function, tasks)
    with workers(url, count):
        reader = make_engine(url)
        await reader.start(worker=False)
        await until_done(reader, tasks)
    seconds = await span(reader)
    await reader.stop()
    return tasks / seconds


async def waiting(url: str) -> float:
    """Return the seconds from the submit of 5,000 tasks of 50 ms to the end of the last."""
    with workers(url, 1) as (process,):
        assert process.stdout is not None
        process.stdout.readline()
        engine = make_engine(url)
        await engine.start(worker=False)
        io50 = engine.functions.get("io50")
        assert io50 is not None
        await io50.aenqueue_many([(number,) for number in range(100)])  # so that the worker knows how long they take
        await until_done(engine, 100)
        began = time.time()
        await io50.aenqueue_many([(number,) for number in range(5_000)])
        await until_done(engine, 5_100)
        last = max(task.finished_at or 0 for task in (await _newest(engine)))
        await engine.stop()
    return last / 1e6 - began


async def _newest(engine: Engine) -> list[object]:
    found: list[object] = []
    cursor = None
    while len(found) < WAITING:
        page = await engine.storage.list_tasks(TaskFilter(), limit=500, after=cursor)
        found += page.items
        cursor = page.next
    return found
