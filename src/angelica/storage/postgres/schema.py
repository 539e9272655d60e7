"""Bringing the schema of a database up to date, one step a transaction, by one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from angelica.errors import SchemaMismatch
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.connections import Raw
from angelica.storage.sql import Migration, load_migrations, pending

MIGRATIONS: Final = load_migrations("angelica.storage.postgres.migrations")
SCHEMA_VERSION: Final = MIGRATIONS[-1].number

Told = Callable[[str, int, int], None]

_LEDGER: Final = """
create table if not exists angelica.migrations (
    number integer primary key, name text not null, checksum text not null, applied_at bigint not null
)
"""
_RECORD: Final = """
insert into angelica.migrations (number, name, checksum, applied_at)
values ($1, $2, $3, (extract(epoch from clock_timestamp()) * 1000000)::bigint)
"""
_LOCK: Final = "select pg_advisory_lock(hashtextextended('angelica migrations ' || $1, 0))"
_UNLOCK: Final = "select pg_advisory_unlock(hashtextextended('angelica migrations ' || $1, 0))"


def nobody(_step: str, _done: int, _all: int) -> None:
    """Nobody wants to know of the steps."""


async def applied(raw: Raw, address: Address) -> dict[int, str]:
    """Return what has been applied, by number; empty for a database without our tables."""
    if await raw.fetchval("select to_regclass($1)", f"{address.schema}.migrations") is None:
        return {}
    rows: list[Any] = await raw.fetch(address.adapt("select number, checksum from angelica.migrations"))
    return {row["number"]: row["checksum"] for row in rows}


async def migrate(raw: Raw, address: Address, *, allowed: bool, told: Told = nobody) -> int:
    """Apply what is missing and return the version. A step that was cut off has left nothing, and is done again.

    `told` is called before each step with (its name, steps done, steps in all). Raises `SchemaMismatch` for a newer or
    an altered schema, and for an older one unless `allowed`.
    """
    missing = pending(MIGRATIONS, await applied(raw, address))
    if not missing:
        return SCHEMA_VERSION
    if address.pooler is not None:
        raise SchemaMismatch(
            "the schema cannot be made through a pooler (?pooler=transaction): run `angelica db migrate --url …` once "
            "with the address of the server itself, without `pooler`"
        )
    await raw.execute("set statement_timeout = 0; set lock_timeout = 0")
    await raw.fetchval(_LOCK, address.schema)
    try:
        return await _migrate(raw, address, allowed=allowed, told=told)
    finally:
        await raw.fetchval(_UNLOCK, address.schema)


async def _migrate(raw: Raw, address: Address, *, allowed: bool, told: Told) -> int:
    known = await applied(raw, address)
    missing = pending(MIGRATIONS, known)
    if missing and known and not allowed:
        raise SchemaMismatch(
            f"the schema is at version {max(known)}, this Angelica needs {SCHEMA_VERSION}: run `angelica db migrate`"
        )
    for done, migration in enumerate(missing):
        told(f"{migration.number:04d} {migration.name}", done, len(missing))
        async with raw.transaction():
            if not known:
                await raw.execute(f"create schema if not exists {address.schema}")
            await raw.execute(address.adapt(_LEDGER))
            await raw.execute(address.adapt(migration.text))
            await raw.execute(address.adapt(_RECORD), migration.number, migration.name, migration.checksum)
    return SCHEMA_VERSION


def script(migrations: tuple[Migration, ...], address: Address) -> str:
    """Return migrations as one script that can be read, or run by hand with `psql`."""
    parts = [f"create schema if not exists {address.schema};", address.adapt(_LEDGER).strip() + ";"]
    for step in migrations:
        record = _RECORD.replace("$1", str(step.number)).replace("$2", f"'{step.name}'")
        record = record.replace("$3", f"'{step.checksum}'").strip() + ";"
        parts.append(f"begin;\n{address.adapt(step.text).strip()}\n{address.adapt(record)}\ncommit;")
    return "\n\n".join(parts) + "\n"
