"""A move while a worker runs and a submitter submits: what was acknowledged ends, once, and writes pause briefly."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from angelica.domain.task import State
from angelica.engine import Engine
from angelica.errors import StorageUnavailable, StoreMoved
from angelica.storage.move.plan import STATE
from tests.engine.house_of_engines import engine_on, run, until
from tests.move.house import WAYS, Place, dumped, move, opened, place

LONGEST_PAUSE = 5.0


class Shop:
    """An application: its worker, and a submitter that follows the store where it goes."""

    def __init__(self, here: str, there: str) -> None:
        self.urls = [here, there]
        self.ran: Counter[str] = Counter()
        self.acknowledged: dict[str, float] = {}
        self.engine = self.made(here)

    def made(self, url: str) -> Engine:
        engine = engine_on(url)
        self.moved = asyncio.Event()
        engine.keeping.when_moved = self.moved.set

        @engine.task
        async def quick(n: int) -> int:
            self.ran[f"q{n}"] += 1
            return n

        @engine.task
        async def slow(n: int) -> int:
            await asyncio.sleep(60 if url == self.urls[0] else 0)
            self.ran[f"s{n}"] += 1
            return n

        self.quick, self.slow = quick, slow
        return engine

    async def submit(self, stop: asyncio.Event) -> None:
        n = 0
        while not stop.is_set():
            task_id = f"q{n}"
            try:
                await self.quick.using(task_id=task_id).aenqueue(n)
            except StorageUnavailable:
                await asyncio.sleep(0.02)
                continue
            except StoreMoved:
                await self.follow()
                continue
            self.acknowledged[task_id] = time.monotonic()
            n += 1
            await asyncio.sleep(0.001)

    async def follow(self) -> None:
        await asyncio.wait_for(self.moved.wait(), 5)
        assert self.engine.keeping.moved_to is not None
        hasten = asyncio.Event()
        hasten.set()
        await self.engine.stop(hasten=hasten)
        self.engine = self.made(self.urls[1])
        async with asyncio.timeout(10):
            while True:
                try:
                    await self.engine.start()
                except StorageUnavailable:  # the move's last words are still to be written
                    await asyncio.sleep(0.02)
                else:
                    return

    @property
    def pause(self) -> float:
        moments = sorted(self.acknowledged.values())
        return max(after - before for before, after in pairwise(moments))


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_work_goes_on(way: tuple[str, str], tmp_path: Path) -> None:
    source, target = place(way[0], tmp_path, name="a.db"), place(way[1], tmp_path, name="b.db")

    async def story() -> None:
        shop = Shop(source.url, target.url)
        await shop.engine.start()
        held = [await shop.slow.using(task_id=f"s{n}").aenqueue(n) for n in range(3)]
        stop = asyncio.Event()
        submitter = asyncio.create_task(shop.submit(stop))
        await until(lambda: len(shop.acknowledged) > 100)
        assert (await held[0].arefresh()).state is State.RUNNING
        moved = await move(source, target, grace=2.0)
        assert moved.running == 0  # they were handed back in time
        enough = len(shop.acknowledged) + 50
        await until(lambda: submitter.done() or len(shop.acknowledged) > enough, within=20)
        stop.set()
        await submitter
        await until(lambda: len(shop.ran) == len(shop.acknowledged) + 3, within=20)
        await shop.engine.stop()
        assert moved.fenced / 1e6 < LONGEST_PAUSE
        assert shop.pause < LONGEST_PAUSE
        await all_ended(shop, target)

    run(story(), within=90)


async def all_ended(shop: Shop, target: Place) -> None:
    found = await dumped(target)
    states = {row[0]: row for row in found["tasks"]}
    assert set(states) == {*shop.acknowledged, "s0", "s1", "s2"}
    assert {row[STATE] for row in states.values()} == {"succeeded"}
    assert found["counters"] == found["counted"]
    assert set(shop.ran.values()) == {1}
    assert {row[0] for row in found["attempts"]} >= {"s0", "s1", "s2"}  # and what waited for a slot just then
    assert {row[2] for row in found["attempts"]} == {"released"}


def test_a_move_that_is_given_up_lets_the_worker_go_on(tmp_path: Path) -> None:
    source, target = place("sqlite", tmp_path, name="a.db"), place("sqlite", tmp_path, name="b.db")

    async def story() -> None:
        shop = Shop(source.url, target.url)
        await shop.engine.start()
        task = asyncio.create_task(move(source, target, grace=30.0))
        held = await shop.slow.using(task_id="s0").aenqueue(0)
        worker = shop.engine.keeping._node()
        assert worker is not None
        await until(lambda: not worker.worker._completer.claiming, within=10)
        waiting = await shop.quick.using(task_id="q0").aenqueue(0)
        await asyncio.sleep(0.3)
        assert shop.ran["q0"] == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waiting.await_(10)
        assert (await held.arefresh()).state is not State.SUCCEEDED
        await held.acancel()
        await shop.engine.stop()
        async with opened(source.storage()) as storage:
            assert await storage.fence() is None

    run(story(), within=60)
