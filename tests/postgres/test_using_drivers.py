"""An order and its task stand or fall together, on every driver."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.postgres.house_of_callers import (
    ASYNC,
    INSERT,
    SYNC,
    Undo,
    engine_on,
    look,
    make_orders,
    orders,
    run,
)


@pytest.fixture
def url(postgres_url):
    make_orders(postgres_url)
    return postgres_url


def tasks(url):
    return [row[0] for row in look(url, "select payload::json -> 'args' ->> 0 from {}.tasks order by created_at, id")]


def counted(url):
    return dict(look(url, "select state, sum(n)::int from {}.counters group by state having sum(n) <> 0"))


@pytest.fixture(params=list(SYNC))
def caller(request):
    return SYNC[request.param]


@pytest.fixture(params=list(ASYNC))
def acaller(request):
    return ASYNC[request.param]


def test_committed_is_submitted_and_rolled_back_never_was(url, caller):
    engine = engine_on(url)
    ship = engine.functions.get("ship")
    try:
        with caller(url) as tx:
            tx.run(INSERT.format("a"))
            handle = ship.using(connection=tx.given, delay="1h").enqueue("a", fast=True)
            assert handle.created
            assert handle.state == "scheduled"
            assert orders(url) == []
            assert engine.is_open
            assert tasks(url) == []
        assert (orders(url), tasks(url), counted(url)) == (["a"], ["a"], {"scheduled": 1})
        assert handle.refresh().id == handle.id
        with suppress(Undo), caller(url) as tx:
            tx.run(INSERT.format("b"))
            ship.using(connection=tx.given).enqueue("b")
            raise Undo
        assert (orders(url), tasks(url), counted(url)) == (["a"], ["a"], {"scheduled": 1})
    finally:
        engine.shutdown()


def test_a_savepoint_that_is_rolled_back_takes_its_task_along(url, caller):
    engine = engine_on(url)
    bill = engine.functions.get("bill")
    try:
        with caller(url) as tx:
            bill.using(connection=tx.given).enqueue("kept")
            with suppress(Undo), tx.savepoint():
                bill.using(connection=tx.given).enqueue("undone")
                raise Undo
            bill.using(connection=tx.given).enqueue_many([("more",), {"order": "most"}])
        assert sorted(filter(None, tasks(url))) == ["kept", "more"]
        assert counted(url) == {"queued": 3}
        assert look(url, "select name, value, count(*) from {}.labels group by 1, 2") == [("kind", "money", 3)]
        assert look(url, "select count(*) from {}.counters where slot >= 0") == [(0,)]
    finally:
        engine.shutdown()


def test_an_async_connection_too(url, acaller):
    async def scenario():
        engine = engine_on(url)
        ship, bill = engine.functions.get("ship"), engine.functions.get("bill")
        try:
            async with acaller(url) as tx:
                await tx.run(INSERT.format("a"))
                handle = await ship.using(connection=tx.given).aenqueue("a")
                with suppress(Undo):
                    async with tx.savepoint():
                        await ship.using(connection=tx.given).aenqueue("undone")
                        raise Undo
                await engine.aenqueue_many([(bill, ("b",)), (ship, {"order": "c"})], connection=tx.given)
                assert tasks(url) == []
            assert await handle.arefresh()
            assert counted(url) == {"queued": 3}
            with suppress(Undo):
                async with acaller(url) as tx:
                    await tx.run(INSERT.format("b"))
                    await bill.using(connection=tx.given).aenqueue_many([("d",), ("e",)])
                    raise Undo
            assert (orders(url), counted(url)) == (["a"], {"queued": 3})
        finally:
            await engine.close()

    run(scenario())
