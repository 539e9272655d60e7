"""What the SQLite storage does with no engine on top: submits in bulk and one by one, and a drain beside a busy loop.

python bench/sqlite_floor.py [--tasks 100000] [--durability full|fast] [--directory DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path

from angelica.clock import Now
from angelica.domain.ids import uuid7
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask
from angelica.domain.value import maker
from angelica.storage.protocol import Claim
from angelica.storage.sqlite.adapter import SqliteStorage

make = maker(NewTask)


def tasks(count: int, now: Now) -> list[NewTask]:
    payload = '{"args":[1],"kwargs":{}}'
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    return [make(uuid7(now.wall + i, i), "app.add", payload, now.wall, now.wall, trace_id=trace) for i in range(count)]


def report(what: str, count: int, began: float, cpu: float) -> None:
    seconds = time.perf_counter() - began
    spent = time.process_time() - cpu
    print(f"{what:44s} {count / seconds:10,.0f}/s   {spent / count * 1e6:5.1f} us CPU a task")


async def bulk(storage: SqliteStorage, count: int, size: int, callers: int) -> None:
    now = await storage.time()
    made = tasks(count, now)
    line = iter([made[start : start + size] for start in range(0, count, size)])

    async def call() -> None:
        for batch in line:
            await storage.enqueue_many(batch, now=now)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[call() for _ in range(callers)])
    report(f"bulk submit, {size} a call, {callers} callers", count, began, cpu)


async def singles(storage: SqliteStorage, count: int, callers: int) -> None:
    now = await storage.time()
    line = iter(tasks(count, now))

    async def call() -> None:
        for task in line:
            await storage.enqueue_many((task,), now=now)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[call() for _ in range(callers)])
    report(f"single submits, {callers} coroutines", count, began, cpu)


async def drain(storage: SqliteStorage, size: int) -> None:
    ends = []
    done = 0
    began, cpu = time.perf_counter(), time.process_time()
    while True:
        now = await storage.time()
        got = await storage.exchange(ends, Claim("w", size, (("async", size),), ("default",)), now=now)
        done += sum(got.accepted)
        if not got.claimed:
            break
        ends = [complete(t, Succeeded("2"), now=now, chance=0.0, started_at=now.wall) for t in got.claimed]
    report(f"drain, exchange of {size}", done, began, cpu)


class Spinner:
    """A thread that never gives the interpreter up by itself, as a busy event loop does."""

    def __enter__(self) -> None:
        self.stop = False
        self.thread = threading.Thread(target=self.spin)
        self.thread.start()

    def spin(self) -> None:
        while not self.stop:
            for _ in range(1000):
                pass

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self.thread.join()


async def main(count: int, durability: str, directory: Path) -> None:
    storage = SqliteStorage(directory / "floor.db", durability="fast" if durability == "fast" else "full")
    await storage.open()
    await storage.enqueue_many(tasks(1, await storage.time()), now=await storage.time())
    await bulk(storage, count, 1000, 1)
    await bulk(storage, count, 1000, 4)
    await drain(storage, 1000)
    await singles(storage, count, 500)
    await drain(storage, 500)
    print("beside a busy thread, switch interval 0.5 ms:")
    sys.setswitchinterval(0.0005)
    await bulk(storage, count, 1000, 2)
    with Spinner():
        await drain(storage, 1000)
    await bulk(storage, count, 1000, 2)
    with Spinner():
        await drain(storage, 500)
    await storage.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--durability", default="full")
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as place:
        asyncio.run(main(options.tasks, options.durability, Path(place)))
