"""Migrations: applied once, refused when they do not fit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from angelica.clock import ManualClock
from angelica.errors import SchemaMismatch
from angelica.storage.rows import full_row, to_json
from angelica.storage.sql import Migration, load_migrations, load_verbs, pending
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.files import APPLICATION_ID
from angelica.storage.sqlite.opened import VERBS
from angelica.storage.sqlite.schema import MIGRATIONS, SCHEMA_VERSION, initialise
from tests.storage.timetable import Timetable, schedule
from tests.storage.world import World, new


def open_and_close(path: Path, *, auto_migrate: bool = True) -> None:
    async def scene() -> None:
        storage = SqliteStorage(path, auto_migrate=auto_migrate)
        await storage.open()
        await storage.close()

    asyncio.run(scene())


def altered(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


def test_a_new_file_is_marked_as_ours(path: Path) -> None:
    open_and_close(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == SCHEMA_VERSION
    assert connection.pragma("journal_mode") == "wal"
    rows = connection.execute("select number, name, checksum from migrations").fetchall()
    connection.close()
    assert rows == [(step.number, step.name, step.checksum) for step in MIGRATIONS]


def test_opening_again_changes_nothing(path: Path) -> None:
    open_and_close(path)
    open_and_close(path, auto_migrate=False)


def test_a_newer_schema_is_refused_and_left_as_it_is(path: Path) -> None:
    open_and_close(path)
    altered(path, "insert into migrations select max(number) + 1, 'later', 'x', 0 from migrations")
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match=f"version {SCHEMA_VERSION + 1}, this Angelica knows versions up to"):
        open_and_close(path)
    assert path.read_bytes() == before


def test_a_schema_of_another_text_is_refused(path: Path) -> None:
    open_and_close(path)
    altered(path, "update migrations set checksum = 'x' where number = 1")
    with pytest.raises(SchemaMismatch, match="another text"):
        open_and_close(path)


def test_a_file_of_the_first_schema_is_brought_up_to_date_with_all_that_is_in_it(path: Path) -> None:
    connection = apsw.Connection(str(path))
    initialise(connection, path)
    connection.execute(MIGRATIONS[0].text)
    connection.execute(
        "create table migrations (number integer primary key, name text not null, checksum text not null,"
        " applied_at integer not null) strict"
    )
    first = MIGRATIONS[0]
    connection.execute("insert into migrations values (?, ?, ?, 0)", (1, first.name, first.checksum))
    connection.execute("pragma user_version = 1")
    task = new("old", labels={"team": "x"})
    connection.execute(VERBS["insert_full"], (to_json([full_row(task, "queued")]),))
    connection.execute(VERBS["insert_labels"], (to_json([("old", "team", "x")]),))
    connection.execute(VERBS["add_counts"], (to_json([("default", "queued", 1)]),))
    connection.close()
    with pytest.raises(SchemaMismatch, match=r"the schema is at version 1.*angelica db migrate"):
        open_and_close(path, auto_migrate=False)

    clock = ManualClock()
    with World(SqliteStorage(path, clock), clock) as world:
        assert world.get("old").spec == task
        assert world.found(labels={"team": "x"}) == ["old"]
        Timetable(world).put(schedule())
        Timetable(world).tick()
        world.end(next(claimed for claimed in world.claim() if claimed.id == "old"))
        assert world.run(world.storage.check()).problems == ()


def step(number: int, checksum: str = "") -> Migration:
    return Migration(number, f"step_{number}", "", checksum or f"sum-{number}")


def test_what_is_missing_is_applied_in_order() -> None:
    steps = (step(1), step(2), step(3))
    assert pending(steps, {}) == steps
    assert pending(steps, {1: "sum-1"}) == steps[1:]
    assert pending(steps, {1: "sum-1", 2: "sum-2", 3: "sum-3"}) == ()


def test_a_gap_in_what_was_applied_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match="migration 1 is missing"):
        pending((step(1), step(2)), {2: "sum-2"})


def test_files_are_read_in_order_with_their_checksums() -> None:
    found = load_migrations("angelica.storage.sqlite.migrations")
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert all(len(migration.checksum) == 64 for migration in found)


def test_every_verb_is_a_statement_that_fits_the_schema(path: Path) -> None:
    open_and_close(path)
    connection = apsw.Connection(str(path))
    for text in load_verbs("angelica.storage.sqlite.queries").values():
        assert "${" not in text
        connection.execute("explain " + text, [None] * text_parameters(text))
    connection.close()


def text_parameters(text: str) -> int:
    return max((number for number in range(1, 10) if f"?{number}" in text), default=0)


def test_two_processes_that_open_a_new_file_at_once_both_get_it(path: Path) -> None:
    async def scene() -> None:
        storages = [SqliteStorage(path) for _ in range(8)]
        await asyncio.gather(*[storage.open() for storage in storages])
        await asyncio.gather(*[storage.close() for storage in storages])

    asyncio.run(scene())
