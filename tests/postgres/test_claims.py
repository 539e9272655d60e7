"""Rows of `claims` and `retention`: who has taken what and what is to be deleted when, a row for each batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from angelica.clock import DAY, MINUTE, ManualClock
from angelica.domain.outcome import Failed
from angelica.domain.task import Policy, State, TaskError
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.claimed import Claimed
from angelica.storage.protocol import Note, Storage
from tests.storage.world import World, line, new


@pytest.fixture
def world(postgres_url: str) -> Iterator[World]:
    clock = ManualClock()
    with World(PostgresStorage(postgres_url, clock), clock) as world:
        yield world
        world.prove()


_TOUCHED = """
select sum(idx_tup_fetch + seq_tup_read)::bigint from pg_stat_user_tables
where relid in (
    'angelica.tasks'::regclass, 'angelica.listing'::regclass, 'angelica.claims'::regclass,
    'angelica.retention'::regclass
)
"""


async def flush(storage: Storage) -> None:
    """Have the session tell what it has touched."""
    assert isinstance(storage, PostgresStorage)
    async with storage._here()[0].use() as raw:
        await raw.fetchval("select pg_stat_force_next_flush()")


def rows(world: World, query: str) -> list[Any]:
    assert isinstance(world.storage, PostgresStorage)
    address = world.storage.address
    with psycopg.connect(address.dsn, autocommit=True) as other:
        return other.execute(address.adapt(query)).fetchall()  # type: ignore[call-overload]


def claims(world: World) -> list[tuple[str, int]]:
    return rows(world, "select worker, cardinality(ids) from angelica.claims order by place")


def retention(world: World) -> list[tuple[int, int]]:
    return rows(world, "select n, cardinality(ids) from angelica.retention order by until")


def test_what_is_over_is_known_without_a_question() -> None:
    claimed = Claimed()
    claimed.taken("w", 1, ["a", "b"])
    claimed.taken("w", 2, ["c"])
    claimed.taken("v", 3, ["d"])
    claimed.ended(["a", "c", "stranger"])
    assert (claimed.over("w"), claimed.over("v")) == ([2], [])
    claimed.ended(["b", "d"])
    assert (claimed.over("w"), claimed.over("v")) == ([2, 1], [3])
    claimed.deleted("w", [2])
    assert claimed.over("w") == [1]
    claimed.deleted("w", [1])
    claimed.deleted("v", [])
    assert (claimed.over("w"), claimed.over("v")) == ([], [3])


def test_a_claim_is_deleted_with_the_exchange_after_its_last_end(world: World) -> None:
    world.submit(*[new(f"t{n}") for n in range(5)])
    first = world.claim(2)
    assert claims(world) == [("w1", 2)]
    world.exchange([world.completion(task) for task in first], None)
    assert claims(world) == [("w1", 2)]
    world.claim(3)
    assert claims(world) == [("w1", 3)]


def test_a_heartbeat_deletes_claims_that_its_process_has_forgotten(world: World) -> None:
    world.submit(*[new(f"t{n}") for n in range(5)])
    first = world.claim(2)
    second = world.claim(3)
    storage = world.storage
    assert isinstance(storage, PostgresStorage)
    storage._claimed = Claimed()
    world.exchange([world.completion(task) for task in [*first, second[0]]], None)
    world.beat(held=[task.lease for task in second[1:]])
    assert claims(world) == [("w1", 3)]


def test_pruning_deletes_what_workers_that_are_gone_have_left(world: World) -> None:
    world.submit(*[new(f"t{n}") for n in range(2)])
    (task,) = world.claim(1)
    world.claim(1, worker="w2")
    world.exchange([world.completion(task)], None)
    world.run(world.storage.prune(now=world.now))
    assert claims(world) == [("w2", 1)]


def test_what_is_kept_longer_than_its_batch_stays_until_its_time(world: World) -> None:
    brief, long = Policy(retention=10 * MINUTE), Policy(retention=10 * MINUTE + 1_000)
    world.submit(*[new(f"b{n}", policy=brief) for n in range(3)], *[new(f"l{n}", policy=long) for n in range(2)])
    world.submit(new("for ever", policy=Policy(retention=DAY)))
    world.exchange([world.completion(task) for task in world.claim(6)], None)
    assert retention(world) == [(5, 5), (1, 1)]
    world.clock.advance(10 * MINUTE)
    assert world.run(world.storage.prune(now=world.now)) == 3
    assert retention(world) == [(2, 2), (1, 1)]
    assert world.run(world.storage.prune(now=world.now)) == 0
    world.clock.advance(1_000)
    assert world.run(world.storage.prune(now=world.now)) == 2
    assert retention(world) == [(1, 1)]


def test_a_limit_cuts_a_batch_and_the_rest_comes_next(world: World) -> None:
    world.submit(*[new(f"t{n}", policy=Policy(retention=MINUTE)) for n in range(7)])
    world.exchange([world.completion(task) for task in world.claim(7)], None)
    world.clock.advance(MINUTE)
    assert [world.run(world.storage.prune(now=world.now, limit=3)) for _ in range(4)] == [3, 3, 1, 0]
    assert retention(world) == []


def test_a_batch_forgets_tasks_that_were_deleted_by_hand(world: World) -> None:
    world.submit(*[new(f"t{n}", policy=Policy(retention=MINUTE)) for n in range(3)])
    world.exchange([world.completion(task) for task in world.claim(3)], None)
    world.run(world.storage.delete_tasks(["t0", "t1", "t2"]))
    world.clock.advance(MINUTE)
    assert world.run(world.storage.prune(now=world.now)) == 0
    assert retention(world) == []


def test_the_end_of_a_task_writes_to_no_index_of_tasks(world: World) -> None:
    world.submit(*[new(f"t{n:03}") for n in range(100)])
    world.exchange([world.completion(task) for task in world.claim(100)], None)
    world.run(flush(world.storage))
    ((updates, hot),) = rows(
        world,
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relid = 'angelica.tasks'::regclass",
    )
    assert updates == 200
    assert hot >= 80  # those that find room in their page


def test_a_plan_that_was_made_while_there_was_nothing_holds_when_there_is_much(world: World) -> None:
    """A session that began with an empty store keeps its plans until the first vacuum, a minute or more."""
    brief = Policy(retention=MINUTE)

    def once(first: int) -> None:
        world.submit(*[new(f"t{n:06}", policy=brief) for n in range(first, first + 5)])
        taken = world.claim(5)
        world.beat(held=[task.lease for task in taken])
        world.expired()
        world.found(states=frozenset({State.RUNNING}))
        world.run(world.storage.list_workers())
        world.run(world.storage.append_logs([line(taken[0], 1)]))
        world.run(world.storage.annotate([Note(taken[0].id, 1, checkpoint="1", progress="2")]))
        world.exchange([world.completion(taken[0], Failed(TaskError("exception"), final=True))], None)
        world.exchange([world.completion(task) for task in taken[1:]], None)
        assert world.run(world.storage.delete_tasks([taken[1].id])) == (True,)
        world.submit(new(f"c{first}", policy=brief))
        world.cancel(f"c{first}", taken[2].id)
        world.clock.advance(MINUTE)
        assert world.run(world.storage.prune(now=world.now)) == 5

    def touched() -> int:
        world.run(flush(world.storage))
        ((count,),) = rows(world, _TOUCHED)
        return int(count)

    for first in (0, 5):  # the second time all statements are prepared
        once(first)
    for start in range(1_000, 20_000, 1_000):
        later = [new(f"l{start + n:06}", run_at=world.now.wall + DAY) for n in range(1_000)]
        world.submit(*later)
    before = touched()
    once(10)
    assert touched() - before < 2_000
