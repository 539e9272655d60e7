"""Claims while a transaction elsewhere keeps all that was taken from being cleared away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import psycopg
import pytest

from angelica.clock import SECOND, ManualClock
from angelica.storage.postgres import heads
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.claims import claim_tasks
from angelica.storage.protocol import Claim, Topic
from angelica.storage.verbs import fair
from tests.storage.world import START, World, ids, new

MANY = 3_000


@pytest.fixture
def world(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A store of which every look counts as slow, and that looks often; in a database of its own.

    A snapshot holds up its whole database, and the other tests of this moment may hold one.
    """
    monkeypatch.setattr(heads, "SLOW", -1)
    monkeypatch.setattr(heads, "AGAIN", 0.01)
    clock = ManualClock()
    with World(PostgresStorage(postgres_database, clock), clock) as world:
        yield world


@contextmanager
def pinned(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url.partition("?")[0]) as connection:
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select 1 from pg_class limit 1")
        yield connection
        connection.rollback()


def until(world: World, true: Callable[[], object], step: Callable[[], object] = lambda: None) -> None:
    ends_at = time.monotonic() + 10
    while not true():
        assert time.monotonic() < ends_at
        step()
        world.run(asyncio.sleep(0.01))


def known(world: World) -> bool:
    return bool(world.storage._heads.known)


def work_off(world: World) -> None:
    """Leave as many dead entries as a few seconds of work do."""
    world.submit(*[new(f"old-{n:05}") for n in range(MANY)])
    tasks = world.claim(MANY)
    assert len(tasks) == MANY
    world.exchange([world.completion(task) for task in tasks])


def test_in_ordinary_times_each_look_is_from_the_beginning(world: World) -> None:
    world.submit(*[new(f"t-{n:05}") for n in range(2 * heads.CLOGGED)])
    for _ in range(20):
        assert len(world.claim(heads.CLOGGED // 10)) == heads.CLOGGED // 10
        # The server's own ANALYZE may hold a snapshot for a moment.
        until(world, lambda: not known(world))


def test_what_was_taken_is_passed_over_and_nothing_is_missed(world: World, postgres_database: str) -> None:
    with pinned(postgres_database):
        work_off(world)
        world.clock.advance(10 * SECOND)
        world.submit(*[new(f"kept-{n}", run_at=START + 1 + n) for n in range(3)])
        until(world, lambda: known(world), lambda: look(world))
        assert met_by_a_claim(world) < MANY / 10
        at = world.now.wall
        world.submit(new("urgent", priority=9, run_at=at), new("idle", priority=-9, run_at=at))
        world.submit(new("first", queue="a", run_at=at), new("last", queue="z", run_at=at, executor="thread"))
        assert ids(world.claim(4)) == ["first", "urgent", "kept-1", "kept-2"]
        assert ids(world.claim(9)) == ["idle", "last"]
        assert world.claim(9) == ()
        assert known(world)


def test_what_comes_before_a_head_is_found_soon(world: World, postgres_database: str) -> None:
    with pinned(postgres_database):
        work_off(world)
        world.clock.advance(10 * SECOND)
        until(world, lambda: known(world), lambda: look(world))
        world.submit(new("late", run_at=START - SECOND))
        found: list[str] = []
        until(world, lambda: found, lambda: found.extend(ids(world.claim(1))))
        assert found == ["late"]


def test_what_this_process_frees_from_a_limit_is_found_at_once(
    world: World, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pinned(postgres_database):
        world.limit("limit:narrow", max_running=1)
        world.submit(*[new(name, run_at=START, limits=("narrow",)) for name in ("held-1", "held-2", "held-3")])
        (running,) = world.claim()
        work_off(world)
        world.clock.advance(10 * SECOND)
        until(world, lambda: known(world), lambda: look(world))
        monkeypatch.setattr(heads, "AGAIN", 60.0)
        world.run(asyncio.sleep(0.1))  # from now on nobody looks for what comes before
        world.submit(*[new(f"free-{n}", run_at=START + SECOND + n) for n in range(3)])
        assert ids(world.claim(1)) == ["free-0"]
        assert known(world)
        world.end(running)
        assert ids(world.claim(1)) == ["held-2"]
        world.run(world.storage.delete_limits(["limit:narrow"], now=world.now))
        assert ids(world.claim(9)) == ["held-3", "free-1", "free-2"]
        assert known(world)


def test_what_gets_its_tenants_lane_is_found_at_once(
    world: World, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pinned(postgres_database):
        work_off(world)
        world.limit("queue:default", fair="tenant")
        world.clock.advance(10 * SECOND)
        until(world, lambda: known(world), lambda: look(world))
        monkeypatch.setattr(heads, "AGAIN", 60.0)
        world.run(asyncio.sleep(0.1))  # from now on nobody looks for what comes before
        monkeypatch.setattr(fair, "SORTED", 2)
        mine = {"headers": {"tenant": "a"}}
        world.submit(*[new(f"t{n}", run_at=START + SECOND + n, **mine) for n in range(10)])
        taken = [ids(world.claim(most)) for most in (1, 2, 3)]
        # The tenant's lane is empty now, and known to begin at this moment; what is still to come to it is older.
        taken += [ids(world.claim(1)) for _ in range(4)]
        assert [name for names in taken for name in names] == [f"t{n}" for n in range(10)]
        assert known(world)


def test_when_the_snapshot_is_let_go_each_look_is_from_the_beginning_again(
    world: World, postgres_database: str
) -> None:
    with pinned(postgres_database):
        work_off(world)
        world.clock.advance(10 * SECOND)
        until(world, lambda: known(world), lambda: look(world))
    numbers = count()

    def write_and_look() -> None:  # a session learns of a new horizon by new transactions
        world.submit(new(f"more-{next(numbers)}", queue="other", run_at=START + 2 * SECOND))
        look(world)

    until(world, lambda: not known(world), write_and_look)
    world.submit(new("b", run_at=START + SECOND), new("a", run_at=START))
    assert ids(world.claim(2, queues=("default",))) == ["a", "b"]


def test_closing_ends_the_looks(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "SLOW", -1)
    clock = ManualClock()
    with pinned(postgres_database), World(PostgresStorage(postgres_database, clock), clock) as world:
        work_off(world)
        until(world, lambda: known(world), lambda: look(world))
        assert world.storage.mark(Topic.READY) >= 0


def look(world: World) -> None:
    """Claim where there is nothing for this executor."""
    world.claim(1, room=(("command", 1),))


def met_by_a_claim(world: World) -> int:
    """Claim one task and return how many entries of the index were met for it."""
    known_heads = world.storage._heads
    claim = Claim("w1", 1, (("async", 1),))
    taken, entries = world.run(
        known_heads._counted(lambda tx: claim_tasks(tx, claim, known_heads, now=world.now)),
    )
    assert len(taken.claimed) == 1
    return entries
