"""Child processes: drains with two children, the way to a warm child and back, and the start of a cold one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from angelica.engine import Engine
from angelica.runtime.functions import Function
from bench.figures import Figure, Report, percentile
from bench.sqlite import BATCH, span, until_done

GROUP = "process"
CHILDREN = 2
GOAL = 3_000.0
ROUNDS = 300

engine = Engine("process.db")


@engine.task(name="noop_process", executor="process")
def noop(number: int) -> int:
    return number


@engine.task(name="anoop_process", executor="process")
async def anoop(number: int) -> int:
    return number


async def measure(report: Report, directory: Path, tasks: int) -> None:
    """Measure all of it."""
    for function, kind in ((noop, "sync"), (anoop, "async")):
        rate = await drain(directory / f"{function.name}.db", function, tasks)
        name = f"drain, {kind} no-op, {CHILDREN} child processes"
        report.add(Figure(GROUP, name, rate, "tasks/s", GOAL))
    await trips(report, directory / "trips.db")


def on(path: Path) -> Engine:
    """Let the engine work on a store; it is found by its name in children and worker processes."""
    engine.settings = replace(engine.settings, url=f"sqlite:///{path}", process_slots=CHILDREN)
    return engine


@contextmanager
def worker(path: Path) -> Iterator[None]:
    """Run a worker process until the block ends."""
    command = [sys.executable, "-m", "angelica.cli", "worker", "--quiet", "--url", str(path), "bench.process:engine"]
    process = subprocess.Popen(command, env={**os.environ, "ANGELICA_PROCESS_SLOTS": str(CHILDREN)})
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def drain(path: Path, function: Function[[int], int], tasks: int) -> float:
    """Return the tasks a second of a worker process that finds a full queue."""
    reader = on(path)
    await reader.start(worker=False)
    for start in range(0, tasks, BATCH):
        await function.aenqueue_many([(number,) for number in range(start, min(start + BATCH, tasks))])
    with worker(path):
        await until_done(reader, tasks)
    seconds = await span(reader)
    await reader.stop()
    return tasks / seconds


async def trips(report: Report, path: Path) -> None:
    """One task after the other, from submit to result, in the process of the worker; the first waits for its child."""
    await on(path).start(worker=True)
    waits = []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        await (await noop.aenqueue(number)).aresult(30)
        waits.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0.005)
    await engine.stop()
    report.add(Figure(GROUP, "first task, its child started for it", waits[0], "ms"))
    for share in (0.5, 0.99):
        report.add(Figure(GROUP, f"submit to result, warm child, p{share * 100:g}", percentile(waits[1:], share), "ms"))
