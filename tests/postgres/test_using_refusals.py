"""Connections that do not fit are refused, and told why."""

from __future__ import annotations

import asyncio
import sqlite3

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.orm import Session

from angelica import Engine, InvalidArguments, InvalidValue, NotSupported
from tests.postgres.house_of_callers import django_connection, engine_on, look, plain, schema_of, with_driver


@pytest.fixture
def engine(postgres_url):
    engine = engine_on(postgres_url)
    engine.call(engine.open())
    yield engine
    engine.shutdown()


@pytest.fixture
def ship(engine):
    return engine.functions.get("ship")


def refusal(call, *args):
    with pytest.raises(InvalidValue) as caught:
        call(*args)
    assert caught.value.field == "/connection"
    return str(caught.value)


async def arefusal(coroutine):
    with pytest.raises(InvalidValue) as caught:
        await coroutine
    return str(caught.value)


def nothing_stored(url):
    return look(url, "select count(*) from {}.tasks") == [(0,)]


def test_a_connection_of_the_other_colour(postgres_url, engine, ship):
    with psycopg.connect(plain(postgres_url)) as connection:
        said = asyncio.run(arefusal(ship.using(connection=connection).aenqueue("a")))
        assert "synchronous" in said
        assert "enqueue(" in said
        said = asyncio.run(arefusal(engine.aenqueue_many([], connection=connection)))
        assert "enqueue_many(" in said

    async def scenario():
        connection = await asyncpg.connect(plain(postgres_url))
        try:
            async with connection.transaction():
                said = refusal(ship.using(connection=connection).enqueue, "a")
                assert "async" in said
                assert "aenqueue(" in said
        finally:
            await connection.close()

    asyncio.run(scenario())
    assert nothing_stored(postgres_url)


def test_a_connection_that_commits_each_statement_by_itself(postgres_url, ship):
    with psycopg.connect(plain(postgres_url), autocommit=True) as connection:
        said = refusal(ship.using(connection=connection).enqueue, "a")
        assert "with connection.transaction():" in said
    connection = django_connection(postgres_url)
    try:
        assert "transaction.atomic()" in refusal(ship.using(connection=connection).enqueue, "a")
    finally:
        connection.close()
    engine = sa.create_engine(with_driver(postgres_url, "psycopg"), isolation_level="AUTOCOMMIT")
    with Session(engine) as session:
        assert "AUTOCOMMIT" in refusal(ship.using(connection=session).enqueue, "a")
    engine.dispose()

    async def scenario():
        raw = await asyncpg.connect(plain(postgres_url))
        try:
            said = await arefusal(ship.using(connection=raw).aenqueue("a"))
            assert "async with connection.transaction():" in said
        finally:
            await raw.close()
        async with await psycopg.AsyncConnection.connect(plain(postgres_url), autocommit=True) as connection:
            assert "transaction" in await arefusal(ship.using(connection=connection).aenqueue("a"))

    asyncio.run(scenario())
    assert nothing_stored(postgres_url)


def test_a_connection_to_another_database(engine, ship, postgres_url, postgres_database):
    name = postgres_database.rpartition("/")[2]
    with psycopg.connect(postgres_database) as connection:
        said = refusal(ship.using(connection=connection).enqueue, "a")
        assert name in said
        assert engine.storage._home.database in said
        assert connection.execute("select 1").fetchone() == (1,)  # nothing has failed in it
    schema = schema_of(postgres_url)
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(f"create schema {schema}")
        with connection.transaction():
            assert name in refusal(ship.using(connection=connection).enqueue, "a")


def test_a_connection_to_another_store(engine, ship, postgres_url):
    schema = sql.Identifier(schema_of(postgres_url))
    with psycopg.connect(plain(postgres_url)) as connection:
        connection.execute(sql.SQL("update {}.meta set value = 'of another' where key = 'store_id'").format(schema))
        said = refusal(ship.using(connection=connection).enqueue, "a")
        assert "of another" in said
        assert engine.storage._home.store_id in said
        connection.rollback()
        assert ship.using(connection=connection).enqueue("a").created


def test_a_role_that_may_not_write(ship, postgres_url):
    with psycopg.connect(plain(postgres_url)) as connection:
        connection.execute("create role guest_of_the_store")
        connection.execute("set local role guest_of_the_store")
        said = refusal(ship.using(connection=connection).enqueue, "a")
        assert "guest_of_the_store" in said
        assert "insert on tasks" in said
        connection.rollback()


@pytest.mark.parametrize("given", ["a pool", object(), 1])
def test_what_is_no_connection(ship, given):
    assert "SQLAlchemy" in refusal(ship.using(connection=given).enqueue, "a")


def test_a_connection_to_sqlite(ship):
    raw = sqlite3.connect(":memory:")
    assert "on_commit" in refusal(ship.using(connection=raw).enqueue, "a")
    raw.close()
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        assert "sqlite" in refusal(ship.using(connection=connection).enqueue, "a")
    engine.dispose()


def test_a_store_that_is_in_no_transaction_of_others(tmp_path, postgres_url):
    for url, word in ((f"sqlite:///{tmp_path}/a.db", "corrupt"), ("memory:", "memory")):
        engine = Engine(url)
        ship = engine.task(name="ship")(lambda: None)
        try:
            with psycopg.connect(plain(postgres_url)) as connection, pytest.raises(NotSupported) as caught:
                ship.using(connection=connection).enqueue()
            assert word in str(caught.value)
            assert "PostgreSQL" in caught.value.hint
        finally:
            engine.shutdown()


def test_a_function_that_is_not_durable(engine, postgres_url):
    quick = engine.task(name="quick", durable=False)(lambda: None)
    with psycopg.connect(plain(postgres_url)) as connection, pytest.raises(NotSupported, match="durable=False"):
        quick.using(connection=connection).enqueue()


def test_what_is_about_no_single_task(engine, ship, postgres_url):
    with psycopg.connect(plain(postgres_url)) as connection:
        with pytest.raises(NotSupported, match="schedule"):
            ship.using(connection=connection).schedule(every=60)
        with pytest.raises(InvalidArguments, match="connection of its own"):
            engine.enqueue_many([(ship.using(connection=connection), ("a",))])
        for wrong in (ship, (ship,), ("ship", ("a",)), (ship, "a")):
            with pytest.raises(InvalidArguments):
                engine.enqueue_many([wrong])
        assert engine.enqueue_many([], connection=connection) == []
        assert ship.using(connection=connection).using(connection=None).own is None
    many = engine.enqueue_many([(ship, ("a",)), (engine.functions.get("bill"), {"order": "b"})])
    assert [handle.name for handle in many] == ["ship", "bill"]
