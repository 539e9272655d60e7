"""PgQueuer and Procrastinate on the server and in the run of the PostgreSQL figures, at their best settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure, Report

GROUP = "peer"

PGQUEUER = """
import asyncio, json, sys, time
import asyncpg
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

URL, WHAT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def fill():
    queries = Queries(AsyncpgDriver(await asyncpg.connect(URL)))
    await queries.install()
    began = time.perf_counter()
    for _ in range(COUNT // 1000):
        await queries.enqueue(["noop"] * 1000, [b"1"] * 1000, [0] * 1000)
    print(COUNT / (time.perf_counter() - began))

async def drain():
    manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect(URL))))
    times = []

    @manager.entrypoint("noop")
    async def noop(job: Job) -> None:
        times.append(time.time())

    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    await manager.run(batch_size=500, mode=QueueExecutionMode.drain)
    print(json.dumps([began, max(times, default=began), len(times)]))

asyncio.run(fill() if WHAT == "fill" else drain())
"""

PROCRASTINATE = """
import asyncio, json, sys, time
import procrastinate

URL, WHAT, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=URL))
times = []

@app.task(name="noop")
async def noop(number: int) -> int:
    times.append(time.time())
    return number

async def main():
    async with app.open_async():
        if WHAT == "fill":
            await app.schema_manager.apply_schema_async()
            began = time.perf_counter()
            for _ in range(COUNT // 1000):
                await noop.batch_defer_async(*[{"number": number} for number in range(1000)])
            print(COUNT / (time.perf_counter() - began))
            return
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.time()
        await app.run_worker_async(wait=False, concurrency=20, install_signal_handlers=False, delete_jobs="never")
        print(json.dumps([began, max(times, default=began), len(times)]))

asyncio.run(main())
"""

PEERS = (("PgQueuer", PGQUEUER, 50_000, 2.5), ("Procrastinate", PROCRASTINATE, 3_000, 50.0))
OURS = "drain, async no-op, 2 worker process(es)"


def measure(report: Report, directory: Path, url: str) -> None:
    """Fill and drain each peer's queue with two worker processes; a database each."""
    for name, text, tasks, goal in PEERS:
        script = directory / f"{name.lower()}_peer.py"
        script.write_text(text, "utf-8")
        address = f"{url.rpartition('/')[0]}/{name.lower()}"
        filled = float(_run(script, address, "fill", str(tasks)))
        report.add(Figure(GROUP, f"{name}, submit in bulk, 1000 a call", filled, "tasks/s"))
        rate = drained(script, address, tasks)
        report.add(Figure(GROUP, f"{name}, drain, 2 worker processes", rate, "tasks/s"))
        ours = report.value(OURS)
        if ours is not None:
            report.add(Figure(GROUP, f"drain, Angelica to {name}", ours / rate, "times", goal))


def drained(script: Path, url: str, tasks: int) -> float:
    """Return the tasks a second of two processes that begin together, from the first start to the last task."""
    command = [sys.executable, str(script), url, "drain", str(tasks)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    results = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=300)
        results.append(json.loads(output.split("\n")[-2]))
    assert sum(count for _, _, count in results) >= tasks, results
    return tasks / (max(last for _, last, _ in results) - min(began for began, _, _ in results))


def _run(script: Path, *args: str) -> str:
    output = subprocess.check_output([sys.executable, str(script), *args], timeout=300, text=True)
    return output.split()[-1]
