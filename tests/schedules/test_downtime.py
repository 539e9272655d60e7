"""A day without any node: each policy makes exactly its runs of the backlog, in bounded memory, nothing goes unsaid."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from angelica.clock import DAY, MINUTE, SECOND, ManualClock
from angelica.domain.schedule import CatchUp, Overlap, SkipReason
from angelica.runtime.means import Means
from angelica.runtime.scheduler import Scheduler
from angelica.storage.protocol import ScheduleFilter, SchedulePut
from tests.schedules.house import START, schedule
from tests.schedules.office import make_storage

SCHEDULES = 400
MISSED = 1_440
KEPT = 20
MEGABYTES = 40


class Away:
    """A store of minutely schedules whose last node left a day ago, and a node that comes back."""

    def __init__(self, storage, clock) -> None:
        self.storage = storage
        self.most = 0
        self.scheduler = Scheduler(storage, means=Means(clock, lambda: 0.0, self._note), poll=1.0)

    def _note(self, event) -> None:
        self.most = max(self.most, len(getattr(event, "tasks", ())))

    async def come_back(self):
        """Fire until nothing is due; return the peak of memory meanwhile, in bytes."""
        tracemalloc.start()
        try:
            while (await self.scheduler.tick())[0]:
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    async def all(self):
        found = await self.storage.list_schedules(ScheduleFilter(), limit=SCHEDULES)
        assert len(found.items) == SCHEDULES
        return found.items


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request):
    return request.param


def after_a_day(kind, tmp_path, story, **rules):
    async def play():
        clock = ManualClock(wall=START)
        storage = make_storage(kind, tmp_path, clock)
        await storage.open()
        try:
            puts = [SchedulePut(schedule(id=f"s{n}", **rules)) for n in range(SCHEDULES)]
            await storage.put_schedules(puts, now=clock.now())
            # The fires are at START + 1 minute up to START + 1 day; the last is older than `grace`.
            clock.advance(DAY + 30 * SECOND)
            await story(Away(storage, clock))
        finally:
            await storage.close()

    asyncio.run(play())


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE_ALL])
@pytest.mark.parametrize(("catch_up", "runs"), [(CatchUp.SKIP, 0), (CatchUp.LATEST, 1), (CatchUp.ALL, KEPT)])
def test_each_policy_makes_its_runs_of_a_day(kind, tmp_path, catch_up, runs, overlap) -> None:
    async def story(away):
        peak = await away.come_back()
        assert peak < MEGABYTES * 2**20, f"{peak / 2**20:.1f} MiB"
        assert away.most <= 2_000
        assert sum((await away.storage.counts()).values()) == SCHEDULES * runs
        for each in await away.all():
            assert (each.runs, each.next_fire_at) == (runs, START + DAY + MINUTE)
        for name in ("s0", "s201", "s399"):
            records = await away.storage.read_fires(name, limit=MISSED)
            made = [record for record in records if record.task_id is not None]
            (span,) = [record for record in records if record.task_id is None]
            assert [record.fire_time for record in made] == [START + DAY - n * MINUTE for n in range(runs)]
            assert span.reason is (SkipReason.CAPPED if catch_up is CatchUp.ALL else SkipReason.MISSED)
            assert (span.fire_time, span.count) == (START + MINUTE, MISSED - runs)
            tasks = await away.storage.get_tasks([record.task_id for record in made])
            assert [task.spec.extras.extensions.get("missed_count") for task in tasks] == [
                MISSED if catch_up is CatchUp.LATEST else None
            ] * runs

    after_a_day(kind, tmp_path, story, catch_up=catch_up, overlap=overlap, max_catchup=KEPT)
