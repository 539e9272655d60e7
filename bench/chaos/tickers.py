"""Eight schedulers on one store, killed, frozen and with clocks apart: each fire once, each that is missing explained.

python -m bench.chaos.tickers [--seconds 180] [--seed N] [--schedules 500]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import angelica
from angelica.clock import MILLISECOND, SECOND, ManualClock, wall_micros
from angelica.domain.schedule import CatchUp, Overlap, Rules, RunSpec, Schedule, TriggerSpec
from angelica.domain.trigger import anchor_of, first_fire_at
from angelica.runtime.means import Means
from angelica.runtime.scheduler import Scheduler
from angelica.storage.protocol import SchedulePut
from angelica.storage.sqlite.adapter import SqliteStorage
from bench.chaos import audit
from bench.chaos.replay import RUN, replay

ROOT: Final = Path(__file__).parents[2]
TICKERS: Final = 8
OFFSETS: Final = (0, 0, 0, 3, -3, 40, -250, 700, -2_000, 2_500)
"""Milliseconds; several of none, so that nodes race for the same fires."""
LONGEST_RUN: Final = 2 * SECOND
TEXTS: Final = (
    "* * * * * *",
    "*/2 * * * * *",
    "*/3 * * * * *",
    "1-59/4 * * * * *",
    "0,1,2,30,31 * * * * *",
    "@every 1500ms",
)


@dataclass(slots=True)
class Outcome:
    """What was wrong, and the figures that were counted on the way."""

    faults: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(slots=True)
class Ticker:
    """A living node."""

    process: subprocess.Popen[bytes]
    frozen_until: float | None = None

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


def attack(
    seconds: float,
    *,
    seed: int = 0,
    schedules: int = 500,
    nodes: int = TICKERS,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Let `nodes` fire for so long under attack, then hold every instant of every schedule against the oracle."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="angelica-tickers-") as directory:
        path = Path(directory) / "chaos.db"
        begun = wall_micros()
        made = [definition(number, begun, seconds, chance) for number in range(schedules)]
        asyncio.run(_store(path, made))
        audit.install(path)
        with _fleet(path, nodes, chance) as fleet:
            done = _strike(path, fleet, seconds, chance, say)
        until = max(audit.latest_moment(path), wall_micros()) + SECOND
        asyncio.run(_finish(path, until))
        return _judge(path, made, until, done)


def definition(number: int, begun: int, seconds: float, chance: random.Random) -> Schedule:
    """Return one of the mix: every kind of trigger under every policy, with bounds here and there."""
    trigger = (
        TriggerSpec(cron=chance.choice(TEXTS)),
        TriggerSpec(every=chance.randrange(500, 5_000) * MILLISECOND),
        TriggerSpec(every=chance.randrange(500, 5_000) * MILLISECOND, mode="delay"),
        TriggerSpec(at=begun + chance.randrange(SECOND, int(max(seconds, 2) * SECOND))),
        TriggerSpec(cron=chance.choice(TEXTS), timezone="Asia/Kolkata"),
    )[number % 5]
    rules = Rules(
        overlap=chance.choice(list(Overlap)),
        max_running=chance.choice((None, None, 1, 3)),
        catch_up=chance.choice(list(CatchUp)),
        grace=chance.choice((200 * MILLISECOND, SECOND)),
        catchup_window=chance.choice((None, None, SECOND, 3 * SECOND)),
        max_catchup=chance.choice((1, 2, 100)),
        max_runs=chance.choice((None,) * 9 + (5,)),
        end_at=chance.choice((None,) * 9 + (begun + int(seconds * SECOND / 2),)),
        start_at=chance.choice((None,) * 9 + (begun + SECOND,)),
        jitter=chance.choice((0, 0, 300 * MILLISECOND)),
    )
    if trigger.at is not None or trigger.mode == "delay":
        rules = replace(rules, start_at=None, end_at=None, catchup_window=None)
    schedule = Schedule(
        f"s{number}", trigger, RunSpec("f"), rules, anchor=anchor_of(rules, begun), created_at=begun, updated_at=begun
    )
    return replace(schedule, next_fire_at=first_fire_at(schedule, now=begun))


async def _store(path: Path, schedules: list[Schedule]) -> None:
    storage = SqliteStorage(path, durability="fast")
    await storage.open()
    await storage.put_schedules([SchedulePut(schedule) for schedule in schedules], now=await storage.time())
    await storage.close()


async def _finish(path: Path, until: int) -> None:
    """Decide all that is left up to the moment `until`."""
    clock = ManualClock(wall=until)
    storage = SqliteStorage(path, durability="fast")
    await storage.open()
    scheduler = Scheduler(storage, means=Means(clock, lambda: 0.0, lambda _: None), poll=1.0)
    while (await scheduler.tick())[0]:
        pass
    await storage.close()


@contextmanager
def _fleet(path: Path, nodes: int, chance: random.Random) -> Iterator[list[Ticker]]:
    """Give the nodes, beside one process that runs what they fire; leave none behind."""
    runner = _start(path, "run", LONGEST_RUN, chance)
    fleet = [Ticker(_start(path, "tick", 0, chance))]
    try:
        fleet += [Ticker(_node(path, chance)) for _ in range(nodes - 1)]
        for process in (runner, *(ticker.process for ticker in fleet)):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", "a node did not start"
        yield fleet
    finally:
        for process in (runner, *(ticker.process for ticker in fleet)):
            process.kill()
            process.wait(10)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _node(path: Path, chance: random.Random) -> subprocess.Popen[bytes]:
    return _start(path, "tick", chance.choice(OFFSETS) * MILLISECOND, chance)


def _start(path: Path, role: str, number: int, chance: random.Random) -> subprocess.Popen[bytes]:
    code = [str(ROOT), str(Path(angelica.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.chaos.ticker", str(path), role, str(number), str(chance.randrange(1 << 30))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(code)},
    )


def _strike(
    path: Path, fleet: list[Ticker], seconds: float, chance: random.Random, say: Callable[[str], None]
) -> Counter[str]:
    """Kill, freeze and continue at random; return how often each was done."""
    done: Counter[str] = Counter()
    began = told = time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        for ticker in fleet:
            if ticker.frozen_until is not None and ticker.frozen_until <= now:
                ticker.frozen_until = None
                ticker.signal(signal.SIGCONT)
        blow = chance.random()
        if blow < 0.35:  # noqa: PLR2004 - the shares of the blows
            done["kills"] += 1
            _replace(path, fleet, chance)
        elif blow < 0.9:  # noqa: PLR2004
            done["freezes"] += 1
            _freeze(chance.choice(fleet), now + chance.uniform(0.05, 3.0))
        else:
            done["freezes of all"] += 1
            until = now + chance.uniform(0.5, 2.5)
            for ticker in fleet:
                _freeze(ticker, until)
        time.sleep(chance.uniform(0.05, 0.6))
        if now - told > 30:  # noqa: PLR2004
            told = now
            say(f"{now - began:.0f} s: {dict(done)}")
    return done


def _freeze(ticker: Ticker, until: float) -> None:
    ticker.frozen_until = max(until, ticker.frozen_until or until)
    ticker.signal(signal.SIGSTOP)


def _replace(path: Path, fleet: list[Ticker], chance: random.Random) -> None:
    """Kill a node, frozen or not, and start another with another clock."""
    place = chance.randrange(len(fleet))
    process = fleet[place].process
    process.kill()
    process.wait(10)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    fleet[place] = Ticker(_node(path, chance))


def _judge(path: Path, schedules: list[Schedule], until: int, done: Counter[str]) -> Outcome:
    entries = audit.entries(path)
    stories = [replay(schedule, entries.get(schedule.id, ()), until) for schedule in schedules]
    outcome = Outcome([f"{story.schedule.id}: {fault}" for story in stories for fault in story.faults])
    runs = [task_id for story in stories for task_id in story.runs]
    made = audit.tasks(path)
    outcome.faults += [f"fired twice: {task_id}" for task_id, n in Counter(runs).items() if n > 1]
    outcome.faults += [f"fired without a task: {task_id}" for task_id in sorted(set(runs) - set(made))]
    outcome.faults += [f"a task that nothing fired: {task_id}" for task_id in sorted(set(made) - set(runs))]
    verdicts = Counter(verdict for story in stories for verdict in story.said.values())
    outcome.figures = {
        **done,
        "schedules": len(stories),
        "passes": sum(story.passes for story in stories),
        "instants": verdicts.total(),
        "fired": verdicts.pop(RUN, 0),
        **dict(sorted(verdicts.items())),
    }
    return outcome


def main() -> int:
    """Run it at full size and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos.tickers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--schedules", type=int, default=500)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a run that is ended clears its processes away
    print(f"seed {asked.seed}", flush=True)
    outcome = attack(
        asked.seconds, seed=asked.seed, schedules=asked.schedules, say=lambda text: print(f"  {text}", flush=True)
    )
    for fault in outcome.faults[:20]:
        print(f"  BROKEN {fault}")
    print(f"{'held' if outcome.ok else f'{len(outcome.faults)} BROKEN'}: {outcome.figures}")
    return not outcome.ok


if __name__ == "__main__":
    sys.exit(main())
