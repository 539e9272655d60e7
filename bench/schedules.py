"""Schedules: a million in one SQLite file, created, ticked, restarted and fired; APScheduler in the same run."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from angelica.clock import MILLISECOND, SECOND
from angelica.domain.cron.evaluate import next_after
from angelica.domain.cron.parse import parse
from angelica.domain.events import SchedulesFired
from angelica.engine import Engine
from angelica.runtime.means import Means
from angelica.runtime.ownership import Declaration
from angelica.runtime.schedule_drafts import read_schedule
from angelica.runtime.scheduler import Scheduler
from angelica.storage.sqlite.adapter import SqliteStorage
from bench import apscheduler_peer
from bench.app import make_engine
from bench.figures import Figure, Report, percentile

GROUP = "schedules"
BATCH = 1_000
CALLERS = 100
TICKS = 2_000
FIRING = 500
BURST = 10_000
SECONDS = 15
LEAD = 2.0
FIRES = 50_000
BEGIN = 1_767_225_600_000_000  # 2026-01-01T00:00Z


def next_fires(report: Report) -> None:
    """Measure how fast the next fire of common texts is found, in a zone whose clocks change."""
    for text in ("*/5 * * * *", "0 9-17/2 * * MON-FRI", "30 2 * * *"):
        trigger = parse(text, timezone="America/New_York")
        moment, began = BEGIN, time.perf_counter()
        for _ in range(FIRES):
            moment = next_after(trigger, moment) or 0
        rate = FIRES / (time.perf_counter() - began)
        report.add(Figure(GROUP, f"next fires of {text!r}", rate, "/s", 50_000))


async def measure(report: Report, directory: Path, schedules: int) -> None:
    """Measure all of it over a store of so many schedules that are not due today."""
    logging.getLogger("angelica.schedules").setLevel(logging.ERROR)
    next_fires(report)
    url = str(directory / "schedules.db")
    await _create(report, url, schedules)
    size = os.stat(url).st_size / schedules  # noqa: PTH116 - a plain call: nothing else runs here
    report.add(Figure(GROUP, "one schedule in the file", size, "bytes"))
    await _tick(report, url)
    _restart(report, url)
    await _fire(report, url)
    await _burst(report, url)
    ours = report.value(f"fired at {FIRING}/s, enqueued - due, p99")
    apscheduler_peer.measure(report, directory, ours)


def idle(count: int) -> Iterator[dict[str, Any]]:
    """Yield definitions of daily schedules, spread over the hours from the next but one on."""
    begin = datetime.now(UTC) + timedelta(hours=2)
    for number in range(count):
        at = begin + timedelta(seconds=number * 7 % 72_000)
        cron = f"{at.second} {at.minute} {at.hour} * * *"
        yield {"schedule_id": f"idle-{number}", "name": "noop", "args": [number], "cron": cron}


async def _create(report: Report, url: str, schedules: int) -> None:
    """Create through the gate that every surface has: in bulk as `POST /schedules/batch` does, and one by one."""
    engine = make_engine(url)
    await engine.start(worker=False)
    bodies = idle(schedules)
    began = time.perf_counter()
    for start in range(0, schedules, BATCH):
        part = [read_schedule(body) for body, _ in zip(bodies, range(min(BATCH, schedules - start)), strict=False)]
        done = await engine.schedules.declare([Declaration(draft, "", 0) for draft in part])
        assert len(done.created) == len(part), done
    rate = schedules / (time.perf_counter() - began)
    report.add(Figure(GROUP, f"create in bulk, {BATCH} a call", rate, "/s", 5_000, note=f"{schedules:,} in all"))

    async def caller(number: int) -> None:
        for body in idle(10):
            await engine.schedules.create(read_schedule({**body, "schedule_id": f"{body['schedule_id']}-by-{number}"}))

    began = time.perf_counter()
    await asyncio.gather(*[caller(number) for number in range(CALLERS)])
    rate = CALLERS * 10 / (time.perf_counter() - began)
    report.add(Figure(GROUP, f"create, {CALLERS} concurrent callers", rate, "/s"))
    await engine.stop()


async def _tick(report: Report, url: str) -> None:
    storage = SqliteStorage(url)
    await storage.open()
    scheduler = Scheduler(storage, means=Means(storage.clock, lambda: 0.0, lambda _: None), poll=1.0)
    took = []
    spent = time.process_time()
    for _ in range(TICKS):
        began = time.perf_counter()
        assert await scheduler.tick() == (0, 0)
        took.append((time.perf_counter() - began) * 1e3)
    spent = (time.process_time() - spent) / TICKS * 1e3
    await storage.close()
    # Wall time has two hops between threads in it, and on an idle machine each of them wakes a core.
    report.add(Figure(GROUP, "tick with nothing due, CPU", spent, "ms", 0.1, at_least=False))
    report.add(Figure(GROUP, "tick with nothing due, p50", percentile(took, 0.5), "ms", 0.1, at_least=False))
    report.add(Figure(GROUP, "tick with nothing due, p99", percentile(took, 0.99), "ms"))


def _restart(report: Report, url: str) -> None:
    """Measure from the start of a process to the end of its first tick."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "bench.schedules", url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ticked\n"
        took = time.perf_counter() - began
    report.add(Figure(GROUP, "start of a process to its first tick", took, "s", 2, at_least=False))


async def _first_tick(url: str) -> None:
    """Be such a process: a whole engine, worker and all."""
    engine = make_engine(url)
    ticked = asyncio.Event()
    tick = Scheduler.tick

    async def noted(scheduler: Scheduler) -> tuple[int, int]:
        found = await tick(scheduler)
        ticked.set()
        return found

    Scheduler.tick = noted  # type: ignore[method-assign]
    await engine.start()
    await ticked.wait()
    print("ticked", flush=True)
    await engine.stop()


async def _fire(report: Report, url: str) -> None:
    """Let many fire each second, evenly, and run what they make in the same process."""
    engine = make_engine(url)
    await engine.start(worker=False)
    wall = engine.storage.clock.wall()  # type: ignore[attr-defined]
    begin = (wall // SECOND + 3) * SECOND
    bodies = [
        {
            "schedule_id": f"firing-{number}",
            "name": "noop",
            "args": [number],
            "every": "1s",
            "overlap": "allow",
            "start_at": _text(begin + number * SECOND // FIRING),
            "end_at": _text(begin + SECONDS * SECOND),
        }
        for number in range(FIRING)
    ]
    late = await _lateness(engine, bodies, FIRING * SECONDS)
    await engine.stop()
    for share, goal in ((0.5, None), (0.99, 50.0), (1.0, None)):
        name = f"fired at {FIRING}/s, enqueued - due, p{share * 100:g}"
        report.add(
            Figure(GROUP, name, percentile(late, share), "ms", goal, at_least=False, note=f"{len(late):,} fires")
        )


async def _burst(report: Report, url: str) -> None:
    """Let many fire in the same moment, on a node that runs nothing itself."""
    engine = make_engine(url)
    await engine.start(worker=False)
    storage = engine.storage
    clock = storage.clock  # type: ignore[attr-defined]
    at = _text((clock.wall() // SECOND + 20) * SECOND)
    bodies = [{"schedule_id": f"burst-{n}", "name": "noop", "args": [n], "at": at} for n in range(BURST)]
    await _declare(engine, bodies)
    late: list[float] = []
    means = Means(clock, lambda: 0.0, lambda event: _note(event, clock.wall(), late))
    scheduler = Scheduler(storage, means=means, poll=1.0)
    while len(late) < BURST:
        await scheduler.step()
    await engine.stop()
    for share, goal in ((0.5, None), (0.99, 250.0)):
        name = f"{BURST:,} due at once, enqueued - due, p{share * 100:g}"
        report.add(Figure(GROUP, name, percentile(late, share), "ms", goal, at_least=False))


async def _lateness(engine: Engine, bodies: list[dict[str, Any]], fires: int) -> list[float]:
    """Declare schedules, start a node, and return for each fire the milliseconds from its time to its commit."""
    await _declare(engine, bodies)
    late: list[float] = []
    clock = engine.storage.clock  # type: ignore[attr-defined]
    enough = asyncio.Event()

    def fired(event: SchedulesFired) -> None:
        _note(event, clock.wall(), late)
        if len(late) >= fires:
            enough.set()

    engine.on(SchedulesFired, fired)
    await engine.stop()
    await engine.start()
    await asyncio.wait_for(enough.wait(), SECONDS + 60)
    return late


async def _declare(engine: Engine, bodies: list[dict[str, Any]]) -> None:
    done = await engine.schedules.declare([Declaration(read_schedule(body), "", 0) for body in bodies])
    assert len(done.created) == len(bodies), done


def _note(event: object, now: int, late: list[float]) -> None:
    if isinstance(event, SchedulesFired):
        late.extend((now - fire.fire_time) / MILLISECOND for firing in event.firings for fire in firing.fires)


def _text(moment: int) -> str:
    return datetime.fromtimestamp(moment / SECOND, UTC).isoformat()


if __name__ == "__main__":
    asyncio.run(_first_tick(sys.argv[1]))
