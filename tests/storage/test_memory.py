"""What is the memory storage's own: its indexes agree with its rows, its bound, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from angelica.clock import DAY, SECOND, ManualClock
from angelica.domain.task import TERMINAL, State
from angelica.storage.memory import MemoryStorage
from angelica.storage.memory_table import Table
from tests.storage.histories import Op, histories
from tests.storage.schedule_histories import SchedulePlayer, schedule_histories
from tests.storage.world import START, World, ids, new


def check(table: Table) -> None:
    """Every index says what the rows say."""
    rows = table.rows.values()
    counted = Counter((row.spec.queue, row.state) for row in rows)
    tallied = {(queue, state): n for queue, tally in table.tallies.items() for state, n in tally.items() if n}
    assert tallied == counted
    assert table.unfinished == sum(row.state not in TERMINAL for row in rows)
    lanes = [lane for levels in table.lanes._lanes.values() for lane in levels.values()]
    for row in rows:
        assert (row.ticket > 0) == (row.ready or row.state is State.SCHEDULED)
    assert sum(lane.live for lane in lanes) == sum(row.ready for row in rows)
    assert table.lanes._due.live == counted_of(counted, State.SCHEDULED)
    running = {id(row) for row in rows if row.state is State.RUNNING}
    assert {id(row) for holder in table.holders.values() for row in holder.running.values()} == running
    parked = {id(row) for row in rows if row.held is not None}
    assert {id(row) for found in table._parked.values() for row in found.values()} == parked
    runs: dict[str, set[str]] = {}
    for row in rows:
        if row.spec.extras.schedule_id is not None and row.state not in TERMINAL:
            runs.setdefault(row.spec.extras.schedule_id, set()).add(row.spec.id)
    assert {name: set(found) for name, found in table.runs.items()} == runs
    assert set(table.waits) == {row.spec.id for row in rows if row.state is State.WAITING}
    assert table.over == []
    holders = {
        (row.spec.function, row.spec.unique.key)
        for row in rows
        if row.spec.unique is not None and (row.spec.unique.scope == "retained" or row.state not in TERMINAL)
    }
    assert set(table._uniques) == holders


def counted_of(counted: Counter[tuple[str, State]], state: State) -> int:
    return sum(n for (_, found), n in counted.items() if found is state)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(history=histories(24) | schedule_histories(24))
def test_indexes_and_counters_agree_with_the_rows(history: list[Op]) -> None:
    clock = ManualClock()
    storage = MemoryStorage(clock)
    with asyncio.Runner() as runner:
        player = SchedulePlayer(storage, clock, runner.run)
        for operation in history:
            attempts = {task_id: row.attempt for task_id, row in storage._table.rows.items()}
            ended = {task_id: row.state for task_id, row in storage._table.rows.items() if row.ended}
            player.play(operation)
            check(storage._table)
            for task_id, row in storage._table.rows.items():
                if operation.verb not in ("delete", "prune", "submit", "exchange"):
                    assert row.attempt >= attempts.get(task_id, 0)
                if operation.verb != "delete" and task_id in ended:
                    assert row.state is ended[task_id]


def memory_world() -> tuple[World, MemoryStorage]:
    clock = ManualClock()
    storage = MemoryStorage(clock)
    return World(storage, clock), storage


def test_unfinished_counts_what_has_not_ended() -> None:
    world, storage = memory_world()
    with world:
        world.submit(new("a"), new("b"), new("c", run_at=START + SECOND))
        assert storage.unfinished == 3
        a, _ = world.claim()
        world.end(a)
        world.cancel("c")
        assert storage.unfinished == 1


def test_the_oldest_ready_task_is_dropped() -> None:
    world, storage = memory_world()
    with world:
        world.submit(new("young", priority=-5), new("old", run_at=START - 1, queue="q"), new("held"))
        dropped = storage.drop_oldest(now=world.now)
        assert dropped is not None
        assert dropped == world.get("old")
        assert dropped.state is State.CANCELLED
        assert dropped.error is not None
        assert dropped.error.reason == "overflow"
        assert ids(world.claim()) == ["held", "young"]
        assert storage.drop_oldest(now=world.now) is None
        assert storage.unfinished == 2


def test_a_cancelled_crowd_does_not_stay_in_the_heaps() -> None:
    world, storage = memory_world()
    with world:
        names = [f"t{n}" for n in range(5_000)]
        world.submit(*[new(name) for name in names], new("last", run_at=START - 1))
        world.submit(*[new(f"later-{name}", run_at=START + DAY) for name in names])
        world.cancel(*names, *[f"later-{name}" for name in names])
        lanes = storage._table.lanes
        assert len(lanes._lanes["default", "async"][0].entries) < 1_100
        assert len(lanes._due.entries) < 1_100
        assert ids(world.claim()) == ["last"]


def test_queues_that_come_and_go_leave_nothing() -> None:
    world, storage = memory_world()
    with world:
        for n in range(50):
            world.submit(new(f"t{n}", queue=f"q{n}"))
            world.claim(1)
        world.claim(1)
        assert storage._table.lanes._lanes == {}


def test_a_call_never_waits() -> None:
    """A coroutine that is stepped once has finished: a submit costs no trip through the loop."""
    clock = ManualClock()
    call = MemoryStorage(clock).enqueue_many([new("a")], now=clock.now())
    with pytest.raises(StopIteration) as done:
        call.send(None)
    assert done.value.value.items[0].status == "created"
