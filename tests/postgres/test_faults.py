"""Servers and networks that fail: calls end in time, what they did is found out, and work goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from angelica.clock import ManualClock
from angelica.domain.outcome import Failed, Succeeded
from angelica.domain.task import State, TaskError
from angelica.errors import StorageUnavailable
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.transaction import PostgresTransaction
from angelica.storage.protocol import Claim
from angelica.storage.wrap import Retrying
from bench.chaos import postgres
from bench.chaos.outages import house
from tests.postgres.cluster import Cluster
from tests.postgres.proxy import Proxy
from tests.postgres.session import session
from tests.storage.world import World, ids, line, new

PATIENCE = 1.0
SLACK = 1.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server for the tests of this file, of which none leaves it down."""
    with session().cluster() as made:
        yield made


@contextmanager
def world_at(url: str, *, patience: float = PATIENCE, connections: int = 4) -> Iterator[World]:
    clock = ManualClock()
    storage = PostgresStorage(url, clock, connections=connections)
    storage._options = replace(storage._options, patience=patience)
    with World(storage, clock) as world:
        yield world


def sql(url: str, statement: str) -> list[tuple]:
    """Run a statement in the schema of a URL."""
    dsn, _, schema = url.partition("?schema=")
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.replace("angelica.", f"{schema}."))
        return cursor.fetchall() if cursor.description is not None else []


CALLS = {
    "exchange": lambda w, n: w.storage.exchange((), Claim("w1", 1, (("async", 1),)), now=w.now),
    "enqueue_many": lambda w, n: w.storage.enqueue_many([new(f"t{n}")], now=w.now),
    "cancel_many": lambda w, n: w.storage.cancel_many([f"t{n}"], reason="r", now=w.now),
    "get_tasks": lambda w, n: w.storage.get_tasks([f"t{n}"]),
}


@pytest.mark.parametrize("verb", list(CALLS))
def test_calls_on_dead_connections_fail_in_time_and_later_ones_work(
    verb: str, postgres_proxy: Proxy, postgres_url: str
) -> None:
    with world_at(postgres_proxy.in_front_of(postgres_url)) as world:
        call = CALLS[verb]

        async def many() -> list[object]:
            return await asyncio.gather(*[call(world, n) for n in range(12)], return_exceptions=True)

        assert not any(isinstance(answer, BaseException) for answer in world.run(many()))
        postgres_proxy.blackhole()
        began = time.monotonic()
        answers = world.run(many())
        assert time.monotonic() - began < PATIENCE + SLACK
        assert {type(answer) for answer in answers} == {StorageUnavailable}
        postgres_proxy.through()
        ends_at = time.monotonic() + 10
        while any(isinstance(answer, BaseException) for answer in world.run(many())):
            assert time.monotonic() < ends_at
            world.run(asyncio.sleep(0.05))


def test_closing_does_not_wait_for_a_dead_network(postgres_proxy: Proxy, postgres_url: str) -> None:
    with world_at(postgres_proxy.in_front_of(postgres_url)) as world:
        world.submit(new("a"))
        postgres_proxy.blackhole()
        began = time.monotonic()
    assert time.monotonic() - began < 5


def retrying(world: World) -> Retrying:
    return Retrying(world.storage, chance=lambda: 0.5, sleep=asyncio.sleep)


@pytest.mark.parametrize("journal", [False, True])
def test_an_exchange_whose_reply_was_lost_had_been_done(
    postgres_proxy: Proxy, postgres_url: str, journal: bool
) -> None:
    with world_at(postgres_proxy.in_front_of(postgres_url), patience=10) as world:
        world.submit(*[new(f"t{n}") for n in range(3)])
        tasks = world.claim(2)
        ends = [world.completion(task, Succeeded("1")) for task in tasks]
        lines = [line(task, 1) for task in tasks] if journal else []
        postgres_proxy.drop_reply_once("with ended")
        reply = world.run(retrying(world).exchange(ends, None, now=world.now, journal=lines))
        assert reply.accepted == (True, True)
        assert postgres_proxy.done == 1
        assert {state: n for (_, state), n in world.counts().items() if n} == {State.SUCCEEDED: 2, State.QUEUED: 1}
        assert len(world.run(world.storage.read_logs("t0"))) == journal


def test_a_commit_whose_reply_was_lost_had_been_done(postgres_proxy: Proxy, postgres_url: str) -> None:
    with world_at(postgres_proxy.in_front_of(postgres_url), patience=10) as world:
        task = world.start("a")
        end = world.completion(task, Failed(TaskError("exception"), retry_after=1_000_000))
        postgres_proxy.drop_reply_once("COMMIT")
        reply = world.run(retrying(world).exchange([end], None, now=world.now))
        assert reply.accepted == (True,)
        assert postgres_proxy.done == 1
        assert world.get("a").failures == 1


def test_a_submit_whose_reply_was_lost_is_there_once(postgres_proxy: Proxy, postgres_url: str) -> None:
    with world_at(postgres_proxy.in_front_of(postgres_url), patience=10) as world:
        world.submit(new("before"))
        postgres_proxy.drop_reply_once("new as (")
        items = world.run(retrying(world).enqueue_many([new("a"), new("b")], now=world.now)).items
        assert [item.status for item in items] == ["created", "created"]
        assert postgres_proxy.done == 1
        assert world.found() == ["a", "b", "before"]
        assert {state: n for (_, state), n in world.counts().items() if n} == {State.QUEUED: 3}


@pytest.mark.parametrize("moment", ["run", "finish"])
def test_a_session_that_is_ended_inside_a_transaction_leaves_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with world_at(postgres_url) as world:
        tasks = [world.start(name) for name in ("a", "b")]
        ends = [world.completion(task, Failed(TaskError("exception"), retry_after=1_000_000)) for task in tasks]
        inner = getattr(PostgresTransaction, moment)

        async def ended(tx: PostgresTransaction, *given: object) -> object:
            if moment == "finish" and not tx._deltas:  # a look of its own, which writes nothing
                return await inner(tx, *given)
            monkeypatch.undo()  # once
            pid = tx.raw.get_server_pid()
            await asyncio.to_thread(sql, postgres_url, f"select pg_terminate_backend({pid}, 5000)")
            return await inner(tx, *given)

        monkeypatch.setattr(PostgresTransaction, moment, ended)
        with pytest.raises(StorageUnavailable):
            world.exchange(ends)
        assert {task.state for task in map(world.get, ("a", "b"))} == {State.RUNNING}
        assert world.exchange(ends).accepted == (True, True)


CLASHES = """
create sequence angelica.clashes;
create function angelica.clash() returns trigger language plpgsql as $$
begin
    if nextval('angelica.clashes') <= {times} then raise exception 'clash' using errcode = '{code}'; end if;
    return null;
end $$;
create trigger clash before insert or update on angelica.tasks for each statement execute function angelica.clash();
"""


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_met_another_transaction_is_done_again(postgres_url: str, code: str) -> None:
    with world_at(postgres_url) as world:
        world.submit(new("before"))
        sql(postgres_url, CLASHES.format(times=5, code=code))
        world.submit(new("a"))
        assert ids(world.claim()) == ["a", "before"]
        sql(postgres_url, "alter sequence angelica.clashes restart")
        assert world.cancel("a") == ("requested",)
        sql(postgres_url, "drop trigger clash on angelica.tasks")
        assert {state: n for (_, state), n in world.counts().items() if n} == {State.RUNNING: 2}


def test_what_always_meets_another_is_given_up(postgres_url: str) -> None:
    with world_at(postgres_url, patience=10) as world:
        world.submit(new("before"))
        sql(postgres_url, CLASHES.format(times=1_000_000, code="40P01"))
        with pytest.raises(StorageUnavailable, match="in the way 20 times"):
            world.submit(new("a"))
        with pytest.raises(StorageUnavailable, match="in the way 20 times"):
            world.cancel("before")
        sql(postgres_url, "drop trigger clash on angelica.tasks")
        assert world.cancel("before") == ("cancelled",)


def test_too_few_connections_are_told_as_such_and_waited_for(cluster: Cluster) -> None:
    cluster.run("create role worker login")
    cluster.run("create database few owner worker")
    url = cluster.url("few").replace("postgres@", "worker@")
    with world_at(url, patience=5) as world:
        world.submit(new("a"))
        cluster.run("alter role worker connection limit 0")
        cluster.run("select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'worker'")
        with pytest.raises(StorageUnavailable):  # it learns of the end of its session
            world.submit(new("b"))
        for _ in range(3):
            with pytest.raises(StorageUnavailable, match="takes no more connections"):
                world.submit(new("b"))
        with pytest.raises(StorageUnavailable, match="takes no more connections"):
            asyncio.run(PostgresStorage(url).open())
        cluster.run("alter role worker connection limit -1")
        submitted(world, "b")


def submitted(world: World, name: str) -> None:
    ends_at = time.monotonic() + 10
    while True:
        try:
            world.submit(new(name))
            return
        except StorageUnavailable:
            assert time.monotonic() < ends_at
            world.run(asyncio.sleep(0.05))


@pytest.mark.parametrize("end", ["kill", "fast", "immediate"])
def test_a_server_that_went_and_came_back_is_found_again(cluster: Cluster, end: str) -> None:
    cluster.run(f"create database {end}")
    with world_at(cluster.url(end)) as world:
        world.submit(new("a"))
        if end == "kill":
            cluster.kill_postmaster()
        else:
            cluster.stop(end)
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StorageUnavailable, match="cannot be reached"):
                world.submit(new("b"))
            assert time.monotonic() - began < PATIENCE + SLACK
        cluster.start()
        submitted(world, "b")
        assert world.found() == ["a", "b"]


@pytest.mark.slow
def test_the_whole_house_outlives_its_server(own_cluster: Cluster, tmp_path: Path) -> None:
    with house(own_cluster, tmp_path, print) as built:
        verdict = postgres.strikes(built, names=("postmaster", "backend", "terminate"), seed=1)
    assert verdict.faults == []
    assert verdict.figures["acknowledged"] > 0
