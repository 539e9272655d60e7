"""`python -m bench.chaos.limited`: workers are killed at random, and no limit ever lets more through than it says.

python -m bench.chaos.limited [--seed N] [--rate 100/m] [--tasks 300] [sqlite|postgres …]

The store itself watches: triggers note, in the transaction that lets an attempt pass a gate, how many run, and when.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import psycopg

from angelica.domain.limits import read_rate
from bench.chaos.__main__ import tell
from bench.chaos.checker import Fault, Verdict
from bench.server import server

WORKERS: Final = 4
MOST: Final = 3
POLL: Final = 0.05
APP: Final = """
import asyncio
from angelica import Engine, Limit

engine = Engine(heartbeat="200ms", lease_ttl="4s", poll="100ms")

@engine.task(name="work", max_crashes=1000, limits=[Limit("{{tenant}}", max_running={most})])
async def work(tenant: str) -> None:
    await asyncio.sleep(0.02)

@engine.task(name="send", max_crashes=1000, rate="{rate}")
async def send() -> None:
    pass

async def prepare() -> None:
    await work.aenqueue_many([("acme",)] * {tasks})
    await send.aenqueue_many([()] * {tasks})
    await engine.close()

if __name__ == "__main__":
    from limited import prepare
    asyncio.run(prepare())
"""
# What passes a gate is seen in the transaction that lets it through. A released one gives its place in the rate back.
SQLITE: Final = """
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
POSTGRES: Final = """
create table {schema}.witnessed (
    seq bigint generated always as identity primary key, gate text, task_id text, at bigint, open bigint
);
create function {schema}.witness() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' or (old.refund and not new.refund) then
        insert into {schema}.witnessed (gate, task_id, at, open) values (new.gate, new.task_id, new.at,
            (select count(*) from {schema}.tasks where state = 'running' and function = 'work'));
    elsif new.refund and not old.refund then
        delete from {schema}.witnessed where seq = (
            select max(seq) from {schema}.witnessed where gate = new.gate and task_id = new.task_id
        );
    end if;
    return null;
end $$;
create trigger witness after insert or update on {schema}.passes for each row execute function {schema}.witness();
"""
_STATES: Final = "select state, count(*) from {schema}tasks group by state"
_OPEN: Final = "select max(open), count(*) from {schema}witnessed where gate = 'limit:work/acme'"
_MOMENTS: Final = "select at from {schema}witnessed where gate = 'function:send' order by at"


class Watched(Protocol):
    """A store that is looked at from outside. `url` is how workers are told of it."""

    url: str

    def watch(self) -> None:
        """Have the store note what passes; its tables are there."""
        ...

    def ask(self, question: str) -> list[Any]:
        """Return the rows of a question, in which `{schema}` stands before the name of a table."""
        ...


class WatchedFile:
    """A store in an SQLite file."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path

    def watch(self) -> None:
        self._connection().execute(SQLITE)

    def ask(self, question: str) -> list[Any]:
        return self._connection().execute(question.format(schema="")).fetchall()

    def _connection(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(20_000)
        return connection


class WatchedServer:
    """A store in PostgreSQL; `url` may name a schema."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address, _, options = url.partition("?")
        named = [part.partition("=")[2] for part in options.split("&") if part.startswith("schema=")]
        self._schema = named[0] if named else "angelica"
        kept = "&".join(part for part in options.split("&") if part and not part.startswith("schema="))
        self._address += f"?{kept}" if kept else ""

    def watch(self) -> None:
        with psycopg.connect(self._address, autocommit=True) as connection:
            connection.execute(POSTGRES.format(schema=self._schema))

    def ask(self, question: str) -> list[Any]:
        with psycopg.connect(self._address, autocommit=True) as connection:
            return connection.execute(question.format(schema=f"{self._schema}.")).fetchall()


@dataclass(frozen=True, slots=True)
class Plan:
    """How many tasks of each kind, how many of one kind begin in a period, and how many end between two kills.

    `patience` is how many seconds it may all take.
    """

    tasks: int
    rate: str
    between: tuple[int, int]
    patience: float


class Crowd:
    """Worker processes, of which one is always about to be killed."""

    def __init__(self, directory: Path, url: str, rng: random.Random) -> None:
        self._directory = directory
        self._url = url
        self._rng = rng
        self._log = (directory / "workers.log").open("ab")
        self._processes = [self._start() for _ in range(WORKERS)]
        self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "angelica.cli", "worker", "limited:engine"]
        return subprocess.Popen(
            argv, cwd=self._directory, env=_environment(self._url), stdout=self._log, stderr=self._log
        )

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


@contextmanager
def crowd(directory: Path, url: str, rng: random.Random) -> Iterator[Crowd]:
    """Have workers run until the block ends."""
    made = Crowd(directory, url, rng)
    try:
        yield made
    finally:
        made.end()


def attack(directory: Path, store: Watched, plan: Plan, *, seed: int) -> Verdict:
    """Store the tasks, kill workers until all have run, and judge what passed the gates."""
    (directory / "limited.py").write_text(APP.format(most=MOST, rate=plan.rate, tasks=plan.tasks))
    argv = [sys.executable, "limited.py"]
    subprocess.run(argv, cwd=directory, env=_environment(store.url), check=True, timeout=60)
    store.watch()
    rng = random.Random(seed)
    verdict = Verdict()
    with crowd(directory, store.url, rng) as workers:
        deadline = time.monotonic() + plan.patience
        strike_at = 2 * plan.tasks
        while (left := _left(store)) and time.monotonic() < deadline:
            if left < strike_at:  # by what was done, not by the clock: else a slow machine would only kill
                workers.kill_one()
                strike_at = left - rng.randint(*plan.between)
            time.sleep(POLL)
        if left:
            verdict.faults.append(Fault("ends", "", f"{left} tasks are left after {workers.kills} kills"))
    verdict.figures["kills"] = workers.kills
    _judge(store, plan, verdict)
    return verdict


def _judge(store: Watched, plan: Plan, verdict: Verdict) -> None:
    states = dict(store.ask(_STATES))
    if states != {"succeeded": 2 * plan.tasks}:
        verdict.faults.append(Fault("ends", "", f"they stand as {states}"))
    ((most, passes),) = store.ask(_OPEN)
    if most != MOST:  # fewer would mean that nothing was put to the test
        verdict.faults.append(Fault("max_running", "", f"{most} ran at once where {MOST} may"))
    rate = read_rate(plan.rate)
    moments = [at for (at,) in store.ask(_MOMENTS)]
    close = [
        place
        for place in range(len(moments) - rate.count)
        if moments[place + rate.count] - moments[place] < rate.period
    ]
    if close:
        verdict.faults.append(Fault("rate", "", f"{len(close)} times more than {plan.rate} began in one period"))
    if min(passes, len(moments)) < plan.tasks:
        verdict.faults.append(Fault("witness", "", f"only {passes} and {len(moments)} were seen to begin"))
    verdict.figures |= {"at once at most": most or 0, "began under the limit": passes, "under the rate": len(moments)}


def _left(store: Watched) -> int:
    return sum(n for state, n in store.ask(_STATES) if state in ("queued", "running", "scheduled"))


def _environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGELICA_")}
    source = str(Path(__file__).parents[2] / "src")
    return {**kept, "ANGELICA_URL": url, "PYTHONPATH": source}


def main() -> int:
    """Run it at full size and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos.limited", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", default="100/m")
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("store", nargs="*", default=["sqlite", "postgres"])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run that is ended clears its processes away
    print(f"seed {asked.seed}", flush=True)
    plan = Plan(asked.tasks, asked.rate, (5, 30), 900.0)
    ways: dict[str, Callable[[], Verdict]] = {
        "sqlite": lambda: _on_file(plan, asked.seed),
        "postgres": lambda: _on_server(plan, asked.seed),
    }
    red = [name for name in asked.store if not tell(f"limits on {name}", ways[name])]
    return bool(red)


def _on_file(plan: Plan, seed: int) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="angelica-chaos-") as made:
        return attack(Path(made), WatchedFile(Path(made, "angelica.db")), plan, seed=seed)


def _on_server(plan: Plan, seed: int) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="angelica-chaos-") as made, server(Path(made)) as cluster:
        return attack(Path(made), WatchedServer(cluster.url()), plan, seed=seed)


if __name__ == "__main__":
    sys.exit(main())
