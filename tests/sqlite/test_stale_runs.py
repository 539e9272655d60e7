"""Runs that a worker of 0.1.0 has ended: it knows no schedules, and does not settle them."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from angelica.clock import ManualClock
from angelica.domain.schedule import Overlap
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.storage.timetable import PERIOD, Timetable, schedule
from tests.storage.world import World


def ended_by_an_old_worker(path: Path, task_id: str, state: str) -> None:
    """What 0.1.0 writes when an attempt has ended."""
    connection = apsw.Connection(str(path))
    connection.execute(
        "update tasks set state = ?2, finished_at = 5, retain_until = 9, revision = revision + 1 where id = ?1",
        (task_id, state),
    )
    connection.execute("update counters set n = n - 1 where state = 'running'")
    connection.execute(
        "insert into counters values ('default', ?1, 1) on conflict (queue, state) do update set n = n + 1", (state,)
    )
    connection.close()


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_the_schedule_goes_on(path: Path, state: str) -> None:
    clock = ManualClock()
    with World(SqliteStorage(path, clock), clock) as world:
        times = Timetable(world)
        times.put(schedule(overlap=Overlap.SKIP, pause_after_failures=3))
        times.tick()
        (task,) = world.claim()
        ended_by_an_old_worker(path, task.id, state)
        clock.advance(PERIOD)
        times.tick()
        assert world.claim() == ()  # it still counts as running
        world.run(world.storage.prune(now=world.now, limit=0))
        assert times.unfinished().count == 0
        assert times.get().streak == (state == "failed")
        clock.advance(PERIOD)
        times.tick()
        assert len(world.claim()) == 1
        assert (world.run(world.storage.check())).ok
