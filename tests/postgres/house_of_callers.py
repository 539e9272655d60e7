"""Callers' connections of every kind, with a table of the caller's own, and an engine beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import django
import psycopg
import sqlalchemy as sa
from django.conf import settings
from django.db import connections, transaction
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from angelica import Engine

ORDERS = "create table if not exists public.orders (id text primary key)"
INSERT = "insert into public.orders (id) values ('{}')"


def engine_on(url: str, **options: Any) -> Engine:
    """An engine with one function, which keeps what it was called with."""
    engine = Engine(url, **options)
    engine.ran = []  # type: ignore[attr-defined]

    @engine.task(name="ship")
    async def ship(order: str, *, fast: bool = False) -> str:
        engine.ran.append(order)  # type: ignore[attr-defined]
        return order

    @engine.task(name="bill", labels={"kind": "money"})
    def bill(order: str) -> str:
        engine.ran.append(f"bill {order}")  # type: ignore[attr-defined]
        return order

    return engine


def plain(url: str) -> str:
    """The URL for drivers, which know no schema of ours."""
    return urlunsplit(urlsplit(url)._replace(query=""))


def schema_of(url: str) -> str:
    return urlsplit(url).query.partition("schema=")[2]


def with_driver(url: str, driver: str) -> str:
    return plain(url).replace("postgresql://", f"postgresql+{driver}://")


def look(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a third party sees: what is committed. `{}` stands for the store's schema."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        return connection.execute(statement.format(schema_of(url))).fetchall()


def orders(url: str) -> list[str]:
    return [row[0] for row in look(url, "select id from public.orders order by id")]


def make_orders(url: str) -> None:
    with psycopg.connect(plain(url), autocommit=True) as connection:
        connection.execute("drop table if exists public.orders")
        connection.execute(ORDERS)


def django_connection(url: str, alias: str = "default") -> Any:
    """Django's own connection to the test's database, without a project."""
    parts = urlsplit(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
    if not settings.configured:
        settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
    connections[alias].close()
    connections.settings[alias] = connections.configure_settings({"default": database})["default"]
    del connections[alias]
    return connections[alias]


class Sync:
    """One open transaction: `given` is what is handed to `using`, `run` executes a statement of the caller's."""

    def __init__(self, given: Any, run: Callable[[str], Any], savepoint: Callable[[], AbstractContextManager[Any]]):
        self.given = given
        self.run = run
        self.savepoint = savepoint


@contextmanager
def psycopg_caller(url: str) -> Iterator[Sync]:
    with psycopg.connect(plain(url)) as connection:
        yield Sync(connection, connection.execute, connection.transaction)


@contextmanager
def psycopg_autocommit_caller(url: str) -> Iterator[Sync]:
    with psycopg.connect(plain(url), autocommit=True) as connection, connection.transaction():
        yield Sync(connection, connection.execute, connection.transaction)


@contextmanager
def psycopg_dicts_caller(url: str) -> Iterator[Sync]:
    with psycopg.connect(plain(url), row_factory=psycopg.rows.dict_row) as connection:
        connection.cursor_factory = psycopg.RawCursor
        yield Sync(connection, connection.execute, connection.transaction)


@contextmanager
def session_caller(url: str) -> Iterator[Sync]:
    engine = sa.create_engine(with_driver(url, "psycopg"))
    try:
        with Session(engine) as session, session.begin():
            yield Sync(session, lambda text: session.execute(sa.text(text)), session.begin_nested)
    finally:
        engine.dispose()


@contextmanager
def sa_connection_caller(url: str) -> Iterator[Sync]:
    engine = sa.create_engine(with_driver(url, "psycopg"))
    try:
        with engine.begin() as connection:
            yield Sync(connection, lambda text: connection.execute(sa.text(text)), connection.begin_nested)
    finally:
        engine.dispose()


@contextmanager
def django_caller(url: str) -> Iterator[Sync]:
    connection = django_connection(url)

    def run(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(text)

    try:
        with transaction.atomic():
            yield Sync(connection, run, transaction.atomic)
    finally:
        connection.close()


SYNC: dict[str, Callable[[str], AbstractContextManager[Sync]]] = {
    "psycopg": psycopg_caller,
    "psycopg-autocommit": psycopg_autocommit_caller,
    "psycopg-dicts": psycopg_dicts_caller,
    "sqlalchemy-session": session_caller,
    "sqlalchemy-connection": sa_connection_caller,
    "django": django_caller,
}


class Async:
    """The same of an async connection."""

    def __init__(
        self, given: Any, run: Callable[[str], Any], savepoint: Callable[[], AbstractAsyncContextManager[Any]]
    ):
        self.given = given
        self.run = run
        self.savepoint = savepoint


@asynccontextmanager
async def asyncpg_caller(url: str) -> AsyncIterator[Async]:
    connection = await asyncpg.connect(plain(url))
    try:
        async with connection.transaction():
            yield Async(connection, connection.execute, connection.transaction)
    finally:
        await connection.close()


@asynccontextmanager
async def asyncpg_pool_caller(url: str) -> AsyncIterator[Async]:
    async def set_up(connection: asyncpg.Connection) -> None:
        await connection.set_type_codec("json", encoder=str, decoder=len, schema="pg_catalog")

    async with (
        asyncpg.create_pool(plain(url), min_size=1, max_size=1, init=set_up) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield Async(connection, connection.execute, connection.transaction)


@asynccontextmanager
async def psycopg_async_caller(url: str) -> AsyncIterator[Async]:
    async with await psycopg.AsyncConnection.connect(plain(url)) as connection:
        yield Async(connection, connection.execute, connection.transaction)


@asynccontextmanager
async def async_session_caller(url: str, driver: str) -> AsyncIterator[Async]:
    engine = create_async_engine(with_driver(url, driver))
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield Async(session, lambda text: session.execute(sa.text(text)), session.begin_nested)
    finally:
        await engine.dispose()


@asynccontextmanager
async def async_sa_caller(url: str, driver: str) -> AsyncIterator[Async]:
    engine = create_async_engine(with_driver(url, driver))
    try:
        async with engine.begin() as connection:
            yield Async(connection, lambda text: connection.execute(sa.text(text)), connection.begin_nested)
    finally:
        await engine.dispose()


ASYNC: dict[str, Callable[[str], AbstractAsyncContextManager[Async]]] = {
    "asyncpg": asyncpg_caller,
    "asyncpg-pool": asyncpg_pool_caller,
    "psycopg-async": psycopg_async_caller,
    "sqlalchemy-asyncpg-session": lambda url: async_session_caller(url, "asyncpg"),
    "sqlalchemy-psycopg-session": lambda url: async_session_caller(url, "psycopg"),
    "sqlalchemy-asyncpg-connection": lambda url: async_sa_caller(url, "asyncpg"),
    "sqlalchemy-psycopg-connection": lambda url: async_sa_caller(url, "psycopg"),
}


class Undo(Exception):
    """Rolls a transaction back."""


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)
