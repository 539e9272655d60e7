"""Bringing the schema of a file up to date, and refusing one that is not ours to touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import apsw

from angelica.errors import SchemaMismatch
from angelica.storage.sql import load_migrations, pending
from angelica.storage.sqlite.files import APPLICATION_ID

MIGRATIONS: Final = load_migrations("angelica.storage.sqlite.migrations")
SCHEMA_VERSION: Final = MIGRATIONS[-1].number

_LEDGER: Final = """
create table if not exists migrations (
    number integer primary key, name text not null, checksum text not null, applied_at integer not null
) strict
"""


def initialise(connection: apsw.Connection, path: Path) -> None:
    """Mark an empty file as ours and put it into WAL mode, in this order: the mark must not stand in the WAL alone.

    SQLite is asked whether it is empty, not the file system: a first start that was killed leaves a journal, which
    SQLite rolls back at this very moment, mark and all.
    """
    if connection.pragma("application_id") == 0 and not connection.execute("select 1 from sqlite_schema").fetchall():
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise SchemaMismatch(f"{path}: SQLite cannot keep a write-ahead log here")


def migrate(connection: apsw.Connection, *, wall: int, allowed: bool) -> int:
    """Apply what is missing, each step in its own transaction, and return the version; the caller holds the lock.

    Raises `SchemaMismatch` for a newer or an altered schema, and for an older one unless `allowed`.
    """
    applied = _applied(connection)
    missing = pending(MIGRATIONS, applied)
    if missing and applied and not allowed:
        raise SchemaMismatch(
            f"the schema is at version {max(applied)}, this Angelica needs {SCHEMA_VERSION}: run `angelica db migrate`"
        )
    for migration in missing:
        connection.execute("begin immediate")
        try:
            connection.execute(_LEDGER)
            connection.execute(migration.text)
            connection.execute(
                "insert into migrations (number, name, checksum, applied_at) values (?, ?, ?, ?)",
                (migration.number, migration.name, migration.checksum, wall),
            )
            connection.execute(f"pragma user_version = {migration.number}")
            connection.execute("commit")
        except BaseException:
            connection.execute("rollback")
            raise
    return SCHEMA_VERSION


def applied_to(path: Path) -> dict[int, str]:
    """Return the checksums of the steps that a file has had, by number; nothing is changed."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.execute("pragma query_only = on")
        return _applied(connection)
    finally:
        connection.close()


def _applied(connection: apsw.Connection) -> dict[int, str]:
    if not connection.table_exists(None, "migrations"):
        return {}
    rows: list[Any] = connection.execute("select number, checksum from migrations").fetchall()
    return dict(rows)
