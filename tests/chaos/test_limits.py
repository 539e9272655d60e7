"""A limit over worker processes that are killed at random: the store itself watches that it is never exceeded."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from angelica.clock import SECOND

WORKERS, TASKS, MOST, RATE = 4, 500, 3, 60
APP = f"""
import asyncio
from angelica import Engine, Limit

engine = Engine("angelica.db", heartbeat="200ms", lease_ttl="4s", poll="100ms")

@engine.task(name="work", max_crashes=1000, limits=[Limit("{{tenant}}", max_running={MOST})])
async def work(tenant: str) -> None:
    await asyncio.sleep(0.005)

@engine.task(name="send", max_crashes=1000, rate="{RATE}/s")
async def send() -> None:
    pass
"""
# What passes a gate is seen in the transaction that lets it through. A released one gives its place in the rate back.
WATCH = """
create table witnessed (gate text, task_id text, at integer, open integer);
create trigger passed after insert on passes begin
    insert into witnessed values (new.gate, new.task_id, new.at,
        (select count(*) from tasks where state = 'running' and function = 'work'));
end;
create trigger passed_again after update on passes when old.refund and not new.refund begin
    insert into witnessed values (new.gate, new.task_id, new.at,
        (select count(*) from tasks where state = 'running' and function = 'work'));
end;
create trigger given_back after update on passes when new.refund and not old.refund begin
    delete from witnessed where rowid = (
        select max(rowid) from witnessed where gate = new.gate and task_id = new.task_id
    );
end;
"""


class Crowd:
    """Worker processes, of which one is always about to be killed."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        self._directory = directory
        self._rng = rng
        self._log = (directory / "workers.log").open("ab")
        self._processes = [self._start() for _ in range(WORKERS)]
        self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "angelica.cli", "worker", "limited:engine"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGELICA_")}
        return subprocess.Popen(argv, cwd=self._directory, env=kept, stdout=self._log, stderr=self._log)

    def kill_one(self) -> None:
        place = self._rng.randrange(WORKERS)
        self._processes[place].kill()
        self._processes[place].wait(10)
        self._processes[place] = self._start()
        self.kills += 1

    def end(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(10)
        self._log.close()


@contextlib.contextmanager
def crowd(directory: Path, rng: random.Random) -> Iterator[Crowd]:
    made = Crowd(directory, rng)
    try:
        yield made
    finally:
        made.end()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_kill_lets_more_through_than_a_limit_says(tmp_path: Path) -> None:
    (tmp_path / "limited.py").write_text(APP)
    prepare(tmp_path)
    path = tmp_path / "angelica.db"
    db = apsw.Connection(str(path))
    db.set_busy_timeout(20_000)
    db.execute(WATCH)
    rng = random.Random(13)
    with crowd(tmp_path, rng) as workers:
        deadline = time.monotonic() + 150
        while left(db):
            assert time.monotonic() < deadline, f"{left(db)} tasks are left after {workers.kills} kills"
            time.sleep(rng.uniform(0.3, 1.5))
            workers.kill_one()
    assert workers.kills >= 3
    states = dict(db.execute("select state, count(*) from tasks group by state").fetchall())
    assert states == {"succeeded": 2 * TASKS}
    most, passes = db.execute("select max(open), count(*) from witnessed where gate = 'limit:work/acme'").fetchall()[0]
    assert passes >= TASKS
    assert most == MOST
    moments = [at for (at,) in db.execute("select at from witnessed where gate = 'function:send' order by at")]
    assert len(moments) >= TASKS
    windows = [moments[place : place + 2 * RATE] for place in range(len(moments))]
    assert max(sum(at < window[0] + SECOND for at in window) for window in windows) <= RATE
    db.close()


def prepare(directory: Path) -> None:
    """Store the tasks, by the code that will run them."""
    code = f"""
import asyncio
from limited import engine, send, work

async def main():
    await work.aenqueue_many([("acme",)] * {TASKS})
    await send.aenqueue_many([()] * {TASKS})
    await engine.close()

asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code], cwd=directory, check=True, timeout=60)


def left(db: apsw.Connection) -> int:
    rows = db.execute("select count(*) from tasks where state in ('queued', 'running', 'scheduled')").fetchall()
    return int(rows[0][0])
