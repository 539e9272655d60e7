"""The connections that callers bring along: known by the names of their classes, none of which is imported here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from angelica.errors import InvalidValue, NotSupported

Values = Sequence[str | None]

_PLACE: Final = re.compile(r"\$(\d+)")
_IDLE: Final = 0
"""What psycopg calls a connection without a transaction (`TransactionStatus.IDLE`)."""

_KNOWN: Final = (
    "a connection of asyncpg or psycopg, a Session or Connection of SQLAlchemy (async or not), or Django's connection"
)
_SQLITE: Final = frozenset({("sqlite3", "Connection"), ("apsw", "Connection"), ("aiosqlite", "Connection")})


class Caller(Protocol):
    """A caller's connection. Where `is_async` is false nothing is ever waited for."""

    is_async: bool

    async def enter(self) -> object:
        """Return what stands for the connection to the server; raises `InvalidValue` outside of a transaction."""
        ...

    async def value(self, text: str, values: Values) -> str | None:
        """Run a statement with places `$1`, `$2`, … and return the one value that it gives."""
        ...


class Asyncpg:
    """A connection of asyncpg, or what its pool gives out for one."""

    is_async = True

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def enter(self) -> object:
        if not self._connection.is_in_transaction():
            raise outside("async with connection.transaction():")
        return getattr(self._connection, "_con", None) or self._connection  # beneath a pool's proxy

    async def value(self, text: str, values: Values) -> str | None:
        found: str | None = await self._connection.fetchval(text, *values)
        return found


class Psycopg:
    """A connection of psycopg 3. It begins its transactions by itself, unless it is set to autocommit."""

    is_async = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def enter(self) -> object:
        if self._connection.autocommit and self._connection.info.transaction_status == _IDLE:
            raise outside("with connection.transaction():")
        return self._connection

    async def value(self, text: str, values: Values) -> str | None:
        with self._connection.cursor(row_factory=_tuples) as cursor:
            cursor.execute(*_for_cursor(cursor, text, values))
            return _only(cursor.fetchone())


class AsyncPsycopg(Psycopg):
    """An async connection of psycopg 3."""

    is_async = True

    async def value(self, text: str, values: Values) -> str | None:
        async with self._connection.cursor(row_factory=_tuples) as cursor:
            await cursor.execute(*_for_cursor(cursor, text, values))
            return _only(await cursor.fetchone())


class SqlAlchemy:
    """A Connection of SQLAlchemy, or that of a Session, over a driver of PostgreSQL. Either begins by itself."""

    is_async = False

    def __init__(self, given: Any, *, is_session: bool) -> None:
        self._given = given
        self._is_session = is_session

    async def enter(self) -> object:
        return _beneath(self._given.connection() if self._is_session else self._given)

    async def value(self, text: str, values: Values) -> str | None:
        connection = self._given.connection() if self._is_session else self._given
        found: str | None = connection.exec_driver_sql(*_for_dialect(connection, text, values)).scalar()
        return found


class AsyncSqlAlchemy(SqlAlchemy):
    """An AsyncConnection of SQLAlchemy, or that of an AsyncSession."""

    is_async = True

    async def enter(self) -> object:
        connection = await self._given.connection() if self._is_session else self._given
        return _beneath(connection.sync_connection)

    async def value(self, text: str, values: Values) -> str | None:
        connection = await self._given.connection() if self._is_session else self._given
        found: str | None = (await connection.exec_driver_sql(*_for_dialect(connection, text, values))).scalar()
        return found


class Django:
    """One of Django's connections. Outside of `atomic` each of its statements commits by itself."""

    is_async = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def enter(self) -> object:
        self._connection.ensure_connection()
        if not self._connection.in_atomic_block and self._connection.get_autocommit():
            raise outside("with transaction.atomic():")
        return self._connection.connection

    async def value(self, text: str, values: Values) -> str | None:
        with self._connection.cursor() as cursor:
            cursor.execute(_percent(text), _named(values))
            return _only(cursor.fetchone())


class _Kind(NamedTuple):
    make: type[Any]
    options: Mapping[str, Any]


_KINDS: Final[Mapping[tuple[str, str], _Kind]] = {
    ("asyncpg", "Connection"): _Kind(Asyncpg, {}),
    ("asyncpg", "PoolConnectionProxy"): _Kind(Asyncpg, {}),
    ("psycopg", "Connection"): _Kind(Psycopg, {}),
    ("psycopg", "AsyncConnection"): _Kind(AsyncPsycopg, {}),
    ("sqlalchemy", "Connection"): _Kind(SqlAlchemy, {"is_session": False}),
    ("sqlalchemy", "Session"): _Kind(SqlAlchemy, {"is_session": True}),
    ("sqlalchemy", "scoped_session"): _Kind(SqlAlchemy, {"is_session": True}),
    ("sqlalchemy", "AsyncConnection"): _Kind(AsyncSqlAlchemy, {"is_session": False}),
    ("sqlalchemy", "AsyncSession"): _Kind(AsyncSqlAlchemy, {"is_session": True}),
    ("sqlalchemy", "async_scoped_session"): _Kind(AsyncSqlAlchemy, {"is_session": True}),
}


def recognise(connection: Any) -> Caller:
    """Return a caller's connection as we use it.

    Raises `InvalidValue` for what is no connection that is known, `NotSupported` for one to another kind of database.
    """
    names = [(base.__module__.partition(".")[0], base.__name__) for base in type(connection).__mro__]
    if not _SQLITE.isdisjoint(names):
        raise elsewhere("sqlite")
    for name in names:
        if name in _KINDS:
            caller: Caller = _KINDS[name].make(connection, **_KINDS[name].options)
            return caller
    if ("django", "ConnectionProxy") in names or ("django", "BaseDatabaseWrapper") in names:
        if connection.vendor != "postgresql":
            raise elsewhere(connection.vendor)
        return Django(connection)
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise InvalidValue("/connection", f"{kind} is no connection that is known", hint=f"give {_KNOWN}", rule="type")


def outside(fix: str) -> InvalidValue:
    """Return the refusal of a connection that commits each statement by itself."""
    return InvalidValue(
        "/connection",
        "is in no transaction: the task would be stored at once, whatever becomes of your own writes",
        hint=f"open one around both: {fix}",
        rule="no_transaction",
    )


def elsewhere(kind: str) -> NotSupported:
    """Return the refusal of a connection to a database of another kind than the store's."""
    return NotSupported(
        "/connection",
        f"is one to {kind}, and the store is in PostgreSQL: no transaction spans both",
        hint="enqueue after your commit (Django: transaction.on_commit)",
        rule="not_supported",
    )


def _tuples(_cursor: Any) -> type[tuple[Any, ...]]:
    """Have psycopg give rows as they come, whatever the connection is set to."""
    return tuple


def _only(row: Any) -> str | None:
    found: str | None = row[0]
    return found


def _for_cursor(cursor: Any, text: str, values: Values) -> tuple[str, Any]:
    """Return what psycopg's `execute` takes; a raw cursor takes places as the server has them."""
    if any(base.__name__.endswith("RawCursor") for base in type(cursor).__mro__):
        return text, list(values)
    return _percent(text), _named(values)


def _for_dialect(connection: Any, text: str, values: Values) -> tuple[str, Any]:
    style = connection.dialect.paramstyle
    if style == "numeric_dollar":
        return text, tuple(values)
    if style == "pyformat":
        return _percent(text), _named(values)
    driver = f"{connection.dialect.name}+{connection.dialect.driver}"
    raise NotSupported(
        "/connection", f"{driver} is no driver that is served", hint="take psycopg or asyncpg", rule="not_supported"
    )


def _beneath(connection: Any) -> object:
    """Return the driver's connection under one of SQLAlchemy's, once that is known to be in a transaction."""
    if connection.dialect.name != "postgresql":
        raise elsewhere(connection.dialect.name)
    raw = connection.connection
    if getattr(raw.dbapi_connection, "autocommit", False):
        raise outside("with engine.begin() as connection:, without isolation_level='AUTOCOMMIT'")
    found: object = raw.driver_connection
    return found


@lru_cache(maxsize=64)
def _percent(text: str) -> str:
    """Return a statement with places as most of Python's drivers have them: `%(v1)s` for `$1`."""
    return _PLACE.sub(r"%(v\1)s", text.replace("%", "%%"))


def _named(values: Values) -> dict[str, str | None]:
    return {f"v{place}": value for place, value in enumerate(values, 1)}
