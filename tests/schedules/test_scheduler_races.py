"""Races: several nodes tick while operators edit, pause, resume and trigger; each moment is decided exactly once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from angelica.clock import SECOND
from angelica.domain.schedule import Phase
from angelica.runtime.scheduler import Scheduler
from tests.schedules.office import START, STORES, in_office

MINUTE = 60
ROUNDS = 40


@pytest.fixture(params=STORES)
def office(request, tmp_path):
    return lambda story: in_office(request.param, tmp_path, story)


async def operate(o, chance, n):
    """Do one of the things that operators do."""
    match chance.randrange(6):
        case 0:
            await o.schedules.patch("s", {"task": {"labels": {"n": str(n)}}})
        case 1:
            await o.schedules.patch("s", {"grace": chance.choice([1, 30, 90])})
        case 2:
            await o.schedules.pause("s", "race")
        case 3:
            await o.schedules.resume("s", catch_up=chance.random() < 0.5)
        case 4:
            await o.schedules.trigger("s")
        case 5:
            await o.run_all()


async def history(o):
    """Return the records of a schedule's fires, without runs by hand."""
    records, before = [], None
    while page := await o.schedules.fires("s", before=before, limit=100):
        records += page
        before = page[-1].fire_time
    return [record for record in records if record.kind == "scheduled"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("policy", [{"catch_up": "all", "overlap": "allow"}, {"overlap": "queue_all"}, {}])
def test_each_moment_has_one_run_or_one_reason(office, seed, policy) -> None:
    async def story(o):
        chance = random.Random(seed)
        await o.create(**policy)
        nodes = [Scheduler(o.storage, means=o.means, poll=60.0, batch=chance.choice([1, 3])) for _ in range(3)]
        for n in range(ROUNDS):
            o.advance(chance.choice([1, 20, 60, 200]))
            work = [node.tick() for node in nodes for _ in range(2)]
            work += [operate(o, chance, n) for _ in range(chance.randrange(4))]
            chance.shuffle(work)
            await asyncio.gather(*work)
        if (await o.schedules.get("s")).phase is Phase.PAUSED:
            await o.schedules.resume("s")
        await o.fire()
        schedule = await o.schedules.get("s")
        records = await history(o)
        moments = (o.clock.wall() - START) // (MINUTE * SECOND)
        assert sum(record.count for record in records) == moments
        runs = [record for record in records if record.task_id is not None]
        assert max(Counter(record.fire_time for record in runs).values(), default=1) == 1
        assert schedule.runs == len(runs)
        assert schedule.next_fire_at == START + (moments + 1) * MINUTE * SECOND
        tasks = await o.storage.get_tasks([record.task_id for record in runs])
        assert [task.spec.extras.extensions["fire_time"] for task in tasks] == [record.fire_time for record in runs]

    office(story)
