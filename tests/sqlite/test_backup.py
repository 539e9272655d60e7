"""Copies of a file in use, checks of a file, and putting a copy back."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import apsw
import pytest

from angelica.errors import SchemaMismatch, StorageUnavailable
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.backup import backup_file, restore_file
from angelica.storage.sqlite.transaction import SqliteStatements
from tests.storage.world import World, new


def test_a_copy_of_a_file_in_use_is_whole(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    seen: list[tuple[int, int]] = []

    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        now = await storage.time()
        await storage.enqueue_many([new(f"t{i}", payload="x" * 1000) for i in range(5000)], now=now)
        copying = asyncio.ensure_future(storage.backup(target, lambda done, pages: seen.append((done, pages))))
        number = 0
        while not copying.done():
            await storage.enqueue_many([new(f"n{number}-{i}") for i in range(10)], now=now)
            number += 1
        assert await copying == target.stat().st_size
        assert number > 0
        await storage.close()

    asyncio.run(scene())
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert seen[-1][0] == seen[-1][1] > 0
    assert not list(tmp_path.glob("copy.db?*"))
    with World(SqliteStorage(target), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        assert isinstance(storage, SqliteStorage)
        report = world.run(storage.check())
        assert report.ok
        assert report.tasks >= 5000
        # A batch is in it, or it is not.
        assert report.tasks % 10 == 0


def test_a_copy_does_not_overwrite(world: World, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(StorageUnavailable, match="exists already"):
        world.run(world.storage.backup(tmp_path / "there"))  # type: ignore[attr-defined]
    assert (tmp_path / "there").read_text() == "mine"


def test_a_copy_can_be_put_back(path: Path, tmp_path: Path) -> None:
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        now = world.run(world.storage.time())
        world.run(world.storage.enqueue_many([new("old")], now=now))
        world.run(world.storage.backup(tmp_path / "copy"))  # type: ignore[attr-defined]
        world.run(world.storage.enqueue_many([new("newer")], now=now))
    former = restore_file(tmp_path / "copy", path)
    assert former is not None
    for place, there in ((path, (True, False)), (former, (True, True))):
        with World(SqliteStorage(place), None) as world:  # type: ignore[arg-type]
            found = world.run(world.storage.get_tasks(["old", "newer"]))
            assert tuple(task is not None for task in found) == there


def test_a_copy_is_not_put_in_the_place_of_a_file_in_use(world: World, path: Path, tmp_path: Path) -> None:
    world.run(world.storage.backup(tmp_path / "copy"))  # type: ignore[attr-defined]
    before = path.stat().st_ino
    with pytest.raises(StorageUnavailable, match="in use"):
        restore_file(tmp_path / "copy", path)
    assert path.stat().st_ino == before


def test_a_foreign_file_is_not_put_back(path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello" * 100)
    with pytest.raises(SchemaMismatch):
        restore_file(tmp_path / "notes", path)
    assert not path.exists()


def test_a_copy_of_nothing_fails_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        backup_file(tmp_path / "nothing", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_check_finds_wrong_counts_and_orphans(path: Path, world: World) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)
    world.submit(new("a", labels={"team": "x"}), new("b"))
    assert world.run(storage.check()).ok
    other = apsw.Connection(str(path))
    other.execute("delete from tasks where id = 'a'")
    other.close()
    report = world.run(storage.check())
    assert report.problems == (
        "queue 'default' has 1 queued tasks, its counter says 2",
        "1 labels of tasks that are not there",
    )


def test_counters_are_repaired(path: Path, world: World) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)
    world.submit(new("a"), new("b"))
    other = apsw.Connection(str(path))
    other.execute("update counters set n = n + 5")
    other.close()
    assert world.run(storage.recount()) == 1
    assert world.run(storage.check()).ok
    assert world.counts() == {("default", "queued"): 2}
    assert world.run(storage.recount()) == 0


def test_vacuum_gives_pages_back(world: World, path: Path) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)
    world.submit(*[new(f"t{i}", payload="x" * 2000) for i in range(1000)])
    world.run(storage.cancel_many([f"t{i}" for i in range(1000)], reason="", now=world.now))
    world.run(storage.delete_tasks([f"t{i}" for i in range(1000)]))

    async def count(db: SqliteStatements) -> int:
        return int(db.query("pragma page_count", ()))

    before = world.run(storage._read(count))
    world.run(storage.vacuum())
    assert world.run(storage._read(count)) < before / 4
    assert world.run(storage.check()).ok
