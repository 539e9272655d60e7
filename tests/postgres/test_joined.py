"""A caller's transaction and the verbs of the storage beside it."""

from __future__ import annotations

import psycopg
import pytest

from angelica.clock import ManualClock
from angelica.domain.schedule import Fire
from angelica.domain.task import Unique
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.wrap import Wrapping
from tests.postgres.house_of_callers import plain
from tests.storage.timetable import Timetable, a_fire, firing, run_of, schedule
from tests.storage.world import START, World, new


@pytest.fixture
def world(postgres_url):
    clock = ManualClock()
    with World(PostgresStorage(postgres_url, clock), clock) as world:
        yield world


@pytest.fixture
def connection(postgres_url):
    with psycopg.connect(plain(postgres_url)) as connection:
        yield connection


def join(world, connection, *tasks, notify=False):
    reply = Wrapping(world.storage).join(connection).enqueue_many(tasks, now=world.now, notify=notify)
    return [item.status for item in reply.items]


def test_a_task_comes_out_as_it_went_in(world, connection):
    whole = new(
        "whole",
        payload='{"args":["%s %(x)s $1 \\\\u0000"],"kwargs":{}}',
        unique=Unique("100% $1", scope="retained"),
        labels={"a": "%"},
        headers={"h": "$2"},
        expires_at=START + 60,
        deadline=START + 50,
        digest="d",
        parent_id="p",
    )
    assert join(world, connection, whole, new("plain"), new("later", run_at=START + 5)) == ["created"] * 3
    connection.commit()
    assert [world.get(name).spec for name in ("whole", "plain")] == [whole, new("plain")]
    assert world.found(labels={"a": "%"}) == ["whole"]
    assert world.counts() == {("default", "queued"): 2, ("default", "scheduled"): 1}
    world.claim()
    world.run(world.storage.prune(now=world.now))
    assert world.counts() == {("default", "running"): 2, ("default", "scheduled"): 1}


def test_one_refused_item_leaves_all_unwritten(world, connection):
    world.submit(new("a", digest="1"))
    refused = join(world, connection, new("b"), new("a", digest="2"), new("c", unique=Unique("k")))
    assert refused == ["aborted", "id_conflict", "aborted"]
    assert join(world, connection, new("a", digest="1"), new("b")) == ["existing", "created"]
    connection.commit()
    assert sorted(world.found()) == ["a", "b"]


def test_a_batch_beyond_one_statement(world, connection):
    assert set(join(world, connection, *(new(f"t{n}") for n in range(6_000)))) == {"created"}
    connection.commit()
    assert world.counts() == {("default", "queued"): 6_000}


def test_a_fire_whose_key_is_in_an_open_transaction_waits_and_holds_up_no_other(world, connection):
    table = Timetable(world)
    for name in ("s", "other"):
        table.put(schedule(name))
    join(world, connection, new("theirs", unique=Unique("k")))
    blocked = firing(table.get("s"), Fire(START, run_of("s", "run", unique=Unique("k")), None))
    free = firing(table.get("other"), a_fire("other", "free", 0))
    assert table.fire(blocked, free) == (False, True)
    assert world.found() == ["free"]
    connection.rollback()
    assert table.fire(blocked) == (True,)
