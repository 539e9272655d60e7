"""Large tasks beside a stream of small ones, over two worker processes: all run, in bounded time, and none bounces."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

SMALL, LARGE = 200, 3
APP = """
import asyncio
from angelica import Engine

engine = Engine(
    "angelica.db", heartbeat="200ms", lease_ttl="4s", poll="100ms", worker_cpu=2, worker_memory="1GiB", scheduler=False
)
inside = 0

async def run(cpu: int) -> int:
    # The most that ran at once in this process while this one did.
    global inside
    inside += cpu
    most = inside
    await asyncio.sleep(0.2)
    inside -= cpu
    return most

small = engine.task(name="small")(run)
large = engine.task(name="large")(run)
"""
# Two small ones fit beside each other, so there is always one that fits, and never room for a large one.
SUBMIT = f"""
import asyncio
from datetime import datetime, timedelta, timezone
from placed import engine, large, small

async def main():
    late = datetime.now(timezone.utc) - timedelta(seconds=31)
    await large.using(resources={{"cpu": 64}}).aenqueue(64)
    await small.using(resources={{"cpu": 1}}).aenqueue_many([(1,)] * {SMALL})
    await large.using(resources={{"cpu": 2, "memory": "64MiB"}}, run_at=late).aenqueue_many([(2,)] * {LARGE})
    await engine.close()

asyncio.run(main())
"""


@contextmanager
def workers(directory: Path, count: int) -> Iterator[None]:
    argv = [sys.executable, "-m", "angelica.cli", "worker", "placed:engine"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGELICA_")}
    with (directory / "workers.log").open("ab") as log:
        started = [subprocess.Popen(argv, cwd=directory, env=kept, stdout=log, stderr=log) for _ in range(count)]
        try:
            yield
        finally:
            for process in started:
                process.kill()
            for process in started:
                process.wait(10)


def ended(db: apsw.Connection, function: str) -> int:
    ((count,),) = db.execute("select count(*) from tasks where function = ? and state = 'succeeded'", (function,))
    return int(count)


@pytest.mark.timeout(120)
def test_a_stream_of_small_ones_does_not_starve_the_large_ones(tmp_path: Path) -> None:
    (tmp_path / "placed.py").write_text(APP)
    subprocess.run([sys.executable, "-c", SUBMIT], cwd=tmp_path, check=True, timeout=60)
    db = apsw.Connection(str(tmp_path / "angelica.db"))
    db.set_busy_timeout(20_000)
    with workers(tmp_path, 2):
        deadline = time.monotonic() + 60
        while ended(db, "large") < LARGE:
            assert time.monotonic() < deadline, (tmp_path / "workers.log").read_text()
            time.sleep(0.05)
        assert ended(db, "small") < SMALL * 3 / 4
        while ended(db, "small") < SMALL:
            assert time.monotonic() < deadline + 30
            time.sleep(0.05)
    ((most,),) = db.execute("select max(cast(result as integer)) from tasks where state = 'succeeded'")
    assert most == 2
    left = db.execute("select function, state, held, attempt from tasks where state <> 'succeeded'").fetchall()
    assert left == [("large", "queued", "no_worker_fits", 0)]
    assert db.execute("select count(*) from attempts").fetchall() == [(0,)]
    assert db.execute("select distinct attempt from tasks where state = 'succeeded'").fetchall() == [(1,)]
    db.close()
