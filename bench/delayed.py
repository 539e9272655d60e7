"""A million tasks for later: what they cost the claim and the worker's memory."""

from __future__ import annotations

import time
from pathlib import Path

from angelica.clock import DAY
from angelica.domain.ids import uuid7
from angelica.domain.task import NewTask
from angelica.domain.value import maker
from angelica.storage.protocol import Claim
from bench.app import make_engine
from bench.figures import Figure, Report, percentile
from bench.idle import _private
from bench.sqlite import workers

GROUP = "delayed"
make = maker(NewTask)


async def measure(report: Report, directory: Path, delayed: int = 1_000_000) -> None:
    """Measure claims and a worker's memory with an empty store, then with `delayed` tasks waiting in it."""
    url = str(directory / "delayed.db")
    before = await _claims(url)
    memory_before = _worker_memory(url)
    began = time.perf_counter()
    await _store(url, delayed)
    rate = delayed / (time.perf_counter() - began)
    after = await _claims(url)
    memory_after = _worker_memory(url)
    report.add(Figure(GROUP, f"{delayed:,} delayed tasks stored", rate, "tasks/s"))
    for share in (0.5, 0.99):
        a, b = percentile(before, share) * 1e3, percentile(after, share) * 1e3
        report.add(Figure(GROUP, f"claim of one, p{share * 100:g}, empty store", a, "ms"))
        report.add(Figure(GROUP, f"claim of one, p{share * 100:g}, {delayed:,} delayed", b, "ms"))
    report.add(Figure(GROUP, "worker memory, empty store", memory_before, "MiB"))
    report.add(Figure(GROUP, f"worker memory, {delayed:,} delayed", memory_after, "MiB"))


async def _store(url: str, delayed: int) -> None:
    engine = make_engine(url)
    await engine.open()
    now = engine.clock.now()
    later = now.wall + 30 * DAY
    for start in range(0, delayed, 5_000):
        batch = [
            make(uuid7(now.wall + n, n), "noop", '{"args":[1],"kwargs":{}}', later + n, now.wall)
            for n in range(start, start + 5_000)
        ]
        await engine.storage.enqueue_many(batch, now=now)
    await engine.stop()


async def _claims(url: str) -> list[float]:
    """Return the seconds of 200 exchanges that claim one task each."""
    engine = make_engine(url)
    await engine.start(worker=False)
    noop = engine.functions.get("noop")
    assert noop is not None
    times = []
    for number in range(200):
        await noop.aenqueue(number)
        claim = Claim("bench", 1, (("async", 1),))
        began = time.perf_counter()
        reply = await engine.storage.exchange([], claim, now=engine.clock.now())
        times.append(time.perf_counter() - began)
        assert len(reply.claimed) == 1
    await engine.stop()
    return times


def _worker_memory(url: str) -> float:
    with workers(url, 1) as (process,):
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(3)
        return _private(process.pid) / 2**20
