"""The pulse: what it does about an answer that says there is more to be freed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from angelica.clock import ManualClock
from angelica.domain.outcome import Released
from angelica.errors import StorageUnavailable
from angelica.runtime import pulse as pulses
from angelica.runtime.holdings import Holdings
from angelica.runtime.means import Means
from angelica.runtime.pulse import LeaseTimes, OnReply, Pulse
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import WorkerInfo
from tests.storage.world import World, new, worker_info


class Counting(MemoryStorage):
    """Knows how many each call has freed, and fails at those that it is told."""

    def __init__(self, clock: ManualClock, failing: Sequence[int] = ()) -> None:
        super().__init__(clock)
        self.freed: list[int] = []
        self.calm = asyncio.Event()
        self._failing = failing

    async def free_held(self, worker: WorkerInfo, *, limit: int = 1000) -> int:
        if len(self.freed) in self._failing:
            self.freed.append(-1)
            self.calm.set()
            raise StorageUnavailable("away")
        count = await super().free_held(worker, limit=limit)
        self.freed.append(count)
        if count < limit:
            self.calm.set()
        return count


def ignore(*_: object) -> None:
    """Do nothing about it."""


async def beats(storage: Counting, clock: ManualClock) -> None:
    """Begin to beat, and wait until nothing more is to be freed."""
    await storage.open()
    pulse = Pulse(
        storage,
        worker_info("w2"),
        names=lambda: ("f",),
        holdings=Holdings(None),
        times=LeaseTimes(ttl=15.0, interval=3600.0, margin=3.0),
        means=Means(clock, lambda: 0.5, ignore),
        on_reply=OnReply(ignore, ignore, ignore, ignore, ignore),
    )
    await pulse.start()
    await asyncio.wait_for(storage.calm.wait(), 10)
    await pulse.stop(5)


def hold(storage: Counting, clock: ManualClock, count: int) -> None:
    with World(storage, clock) as world:
        world.submit(*(new(f"t{n}", "f") for n in range(count)))
        for task in world.claim(count):
            world.end(task, Released(held="unknown_function"))


@pytest.mark.parametrize(("count", "calls"), [(7, [3, 1]), (6, [3, 0]), (3, [0])])
def test_what_a_first_beat_did_not_free_is_freed_after_it_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch, count: int, calls: list[int]
) -> None:
    monkeypatch.setattr(pulses, "FREED", 3)
    clock = ManualClock()
    storage = Counting(clock)
    hold(storage, clock, count)
    asyncio.run(beats(storage, clock))
    assert storage.freed == calls


def test_a_store_that_is_away_ends_it_until_the_next_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "FREED", 3)
    clock = ManualClock()
    storage = Counting(clock, failing=[1])
    hold(storage, clock, 20)
    asyncio.run(beats(storage, clock))
    assert storage.freed == [3, -1]
