"""A check of a schema: what it proves, and that counters are set right while others write."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from angelica.clock import ManualClock
from angelica.storage.postgres.adapter import PostgresStorage
from tests.storage.world import World, new


@pytest.fixture
def world(postgres_url: str):
    clock = ManualClock()
    with World(PostgresStorage(postgres_url, clock), clock) as world:
        yield world


def damage(storage: PostgresStorage, *statements: str) -> None:
    with psycopg.connect(storage.address.dsn, autocommit=True) as other:
        for statement in statements:
            other.execute(storage.address.adapt(statement))  # type: ignore[call-overload]


def test_a_check_finds_wrong_counts_and_orphans(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, PostgresStorage)
    world.submit(new("a", labels={"team": "x"}), new("b"))
    report = world.run(storage.check())
    assert (report.ok, report.tasks) == (True, 2)
    damage(storage, "delete from angelica.tasks where id = 'a'")
    report = world.run(storage.check())
    assert report.problems == (
        "queue 'default' has 1 queued tasks, its counter says 2",
        "1 labels of tasks that are not there",
        "1 listed tasks that are not there",
    )


def test_a_check_finds_rows_that_no_batch_and_no_index_has(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, PostgresStorage)
    world.submit(*[new(name) for name in "abcd"])
    world.claim(3)
    world.run(storage.cancel_many(["d"], reason="r", now=world.now))
    assert world.run(storage.check()).ok
    damage(
        storage,
        "delete from angelica.claims",
        "delete from angelica.retention",
        "update angelica.tasks set indexed = 'ready' where id = 'd'",
    )
    assert world.run(storage.check()).problems == (
        "3 running tasks that no claim names",
        "1 ended tasks that no batch names that is to be deleted in the same minute",
        "1 tasks in the wrong index",
    )


def test_an_index_that_is_not_valid_is_named(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, PostgresStorage)
    damage(storage, "update pg_index set indisvalid = false where indexrelid = 'angelica.waiters'::regclass")
    (problem,) = world.run(storage.check()).problems
    assert "waiters is not valid" in problem


def test_counters_are_repaired_while_others_write(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, PostgresStorage)
    world.submit(*[new(f"t{n}") for n in range(20)])
    damage(
        storage, "update angelica.counters set n = n + 5", "insert into angelica.counters values (9, 'x', 'queued', 3)"
    )

    async def story() -> int:
        async def write(n: int) -> None:
            await storage.enqueue_many([new(f"u{n}")], now=world.now)

        wrong, *_ = await asyncio.gather(storage.recount(), *map(write, range(50)))
        return wrong

    assert world.run(story()) == 2
    assert world.run(storage.check()).ok
    assert world.counts() == {("default", "queued"): 70}
    assert world.run(storage.recount()) == 0
