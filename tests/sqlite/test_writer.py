"""Group commit: what gathers is one transaction, and one caller's trouble is not another's."""

from __future__ import annotations

import asyncio
import fcntl
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from angelica.clock import SECOND
from angelica.domain.task import Unique
from angelica.errors import IdempotencyMismatch, StorageCorrupt, StorageUnavailable
from angelica.storage.protocol import Request
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.transaction import SqliteStatements, SqliteTransaction
from tests.storage.world import START, World, new


def test_what_gathers_is_one_commit(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)
    held = threading.Event()
    begun = threading.Event()

    async def hold(tx: SqliteTransaction) -> None:
        begun.set()
        held.wait(10)

    async def scene() -> int:
        now = world.now
        first = asyncio.ensure_future(storage._write(hold))
        await asyncio.to_thread(begun.wait)
        rest = [asyncio.ensure_future(storage.enqueue_many([new(f"t{i}")], now=now)) for i in range(500)]
        rest.append(asyncio.ensure_future(storage.promote_due(now=now)))
        rest.append(asyncio.ensure_future(storage.cancel_many(["nothing"], reason="", now=now)))
        await asyncio.sleep(0)
        page = storage._opened().ring
        counted = page._words[0]
        held.set()
        await asyncio.gather(first, *rest)
        return int(page._words[0]) - counted

    assert world.run(scene()) == 1
    assert world.run(storage.counts()) == {("default", "queued"): 500}


def test_one_callers_refusal_does_not_undo_the_others(world: World) -> None:
    storage = world.storage

    async def scene() -> list[object]:
        now = world.now
        request = Request("me", "key", "POST /tasks", "one", START + SECOND)
        other = Request("me", "key", "POST /tasks", "two", START + SECOND)
        return await asyncio.gather(
            storage.enqueue_many([new("a")], now=now, request=request),
            storage.enqueue_many([new("b")], now=now, request=other),
            storage.enqueue_many([new("c")], now=now),
            return_exceptions=True,
        )

    first, second, third = world.run(scene())
    assert isinstance(second, IdempotencyMismatch)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert world.run(storage.counts()) == {("default", "queued"): 2}


def test_one_callers_broken_call_does_not_undo_the_others(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)

    async def wrong(tx: SqliteTransaction) -> None:
        await tx.run("put_meta", "left", "behind")
        raise LookupError("a bug")

    async def scene() -> list[object]:
        now = world.now
        return await asyncio.gather(
            storage.enqueue_many([new("a")], now=now),
            storage._write(wrong),
            storage.enqueue_many([new("b")], now=now),
            return_exceptions=True,
        )

    answers = world.run(scene())
    assert isinstance(answers[1], LookupError)
    assert world.run(storage.counts()) == {("default", "queued"): 2}
    assert world.run(storage._read(lambda db: db.value("meta", "left"))) is None


def test_many_callers_with_the_same_ids_and_keys_get_one_task_each(world: World) -> None:
    storage = world.storage

    async def scene() -> list[str]:
        now = world.now
        batches = [[new(f"t{i % 7}"), new(f"u{i}", unique=Unique(f"k{i % 3}"))] for i in range(50)]
        answers = await asyncio.gather(*[storage.enqueue_many(batch, now=now) for batch in batches])
        return [item.status for answer in answers for item in answer.items]

    statuses = world.run(scene())
    assert statuses.count("created") == 7 + 3
    assert set(statuses) == {"created", "existing"}
    assert world.run(storage.check()).ok  # type: ignore[attr-defined]


def test_text_of_every_kind_comes_back_as_it_was(world: World) -> None:
    texts = ["", "null", "7", '"', "\\", "\x00", "\x1f", "a\u2028b", "ÿ€😀", "x" * 300_000]
    tasks = [new(f"t{i}", payload=text, trace_id=text[:64]) for i, text in enumerate(texts)]
    world.submit(*tasks)
    found = world.run(world.storage.get_tasks([task.id for task in tasks]))
    assert [task.spec for task in found if task is not None] == tasks


def test_what_cannot_be_text_fails_its_own_call(world: World) -> None:
    async def scene() -> list[object]:
        now = world.now
        return await asyncio.gather(
            world.storage.enqueue_many([new("a", payload="\ud800")], now=now),
            world.storage.enqueue_many([new("b")], now=now),
            return_exceptions=True,
        )

    first, second = world.run(scene())
    assert isinstance(first, UnicodeEncodeError)
    assert not isinstance(second, Exception)


@pytest.fixture
def impatient(path: Path) -> Iterator[World]:
    with World(SqliteStorage(path, patience=SECOND // 2), None) as made:  # type: ignore[arg-type]
        yield made


def test_a_program_that_holds_the_file_is_waited_for_in_bounds(impatient: World, path: Path) -> None:
    world = impatient
    now = world.run(world.storage.time())
    other = apsw.Connection(str(path))
    other.execute("begin immediate")
    with pytest.raises(StorageUnavailable, match="another program holds the file"):
        world.run(world.storage.enqueue_many([new("a")], now=now))
    other.execute("rollback")
    other.close()
    assert world.run(world.storage.enqueue_many([new("a")], now=now)).items[0].status == "created"


def test_a_process_that_stands_still_with_the_lock_is_not_waited_for_without_end(impatient: World) -> None:
    world, storage = impatient, impatient.storage
    assert isinstance(storage, SqliteStorage)
    now = world.run(storage.time())
    stopped = storage._opened().run.open_file("writer.lock")
    fcntl.flock(stopped, fcntl.LOCK_EX)

    async def scene() -> list[object]:
        calls = [storage.enqueue_many([new(f"t{i}")], now=now) for i in range(20)]
        return await asyncio.gather(*calls, return_exceptions=True)

    answers = world.run(scene())
    assert all(isinstance(answer, StorageUnavailable) for answer in answers)
    fcntl.flock(stopped, fcntl.LOCK_UN)
    assert world.run(storage.enqueue_many([new("after")], now=now)).items[0].status == "created"
    # "Nothing was written" was the truth.
    assert sum(world.run(storage.counts()).values()) == 1


def test_reads_go_on_while_a_writer_holds_the_file(world: World, path: Path) -> None:
    world.submit(new("a"))
    other = apsw.Connection(str(path))
    other.execute("begin immediate; update tasks set progress = '1'")
    assert world.run(world.storage.get_tasks(["a"]))[0] is not None
    other.execute("rollback")
    other.close()


def test_a_read_is_bounded_in_time(path: Path) -> None:
    with World(SqliteStorage(path, read_bound=1000), None) as world:  # type: ignore[arg-type]
        storage = world.storage
        assert isinstance(storage, SqliteStorage)
        endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select max(i) from n"
        with pytest.raises(StorageUnavailable, match="took too long"):
            world.run(storage._read(lambda db: db.query(endless, ())))
        assert world.run(storage.get_tasks(["a"])) == (None,)


def test_a_full_disk_refuses_and_recovers(world: World) -> None:
    storage = world.storage
    assert isinstance(storage, SqliteStorage)
    world.submit(new("small"))

    async def bound(tx: SqliteTransaction, pages: int) -> None:
        tx.query(f"pragma max_page_count = {pages}", ())

    async def pages(db: SqliteStatements) -> int:
        return int(db.query("pragma page_count", ()))

    size = world.run(storage._read(pages))
    world.run(storage._write(lambda tx: bound(tx, size + 2)))
    with pytest.raises(StorageUnavailable, match="no room left"):
        world.submit(new("large", payload="x" * 100_000))
    (task,) = world.claim()
    assert world.end(task)
    world.run(storage._write(lambda tx: bound(tx, 1_000_000)))
    assert world.submit(new("large", payload="x" * 100_000)).items[0].status == "created"
    assert world.run(storage.check()).ok


def test_damage_is_said_and_nothing_more_is_written(path: Path) -> None:
    async def fill() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        now = await storage.time()
        await storage.enqueue_many([new(f"t{i}", payload="x" * 500) for i in range(500)], now=now)
        await storage.close()

    asyncio.run(fill())
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for page in range(48, size // 4096):  # not the few that opening reads
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    with World(SqliteStorage(path), None) as world:  # type: ignore[arg-type]
        now = world.run(world.storage.time())
        with pytest.raises(StorageCorrupt):
            world.run(world.storage.enqueue_many([new(f"n{i}") for i in range(50)], now=now))
        with pytest.raises(StorageCorrupt):
            world.run(world.storage.enqueue_many([new("m")], now=now))


def test_a_closed_storage_says_so(world: World) -> None:
    world.run(world.storage.close())
    with pytest.raises(StorageUnavailable, match="not open"):
        world.submit(new("a"))
    world.run(world.storage.open())
    assert world.submit(new("a")).items[0].status == "created"


def test_what_was_accepted_is_written_before_closing(path: Path) -> None:
    async def scene() -> int:
        storage = SqliteStorage(path)
        await storage.open()
        now = await storage.time()
        calls = [asyncio.ensure_future(storage.enqueue_many([new(f"t{i}")], now=now)) for i in range(200)]
        await asyncio.sleep(0)
        await storage.close()
        await asyncio.gather(*calls)
        await storage.open()
        counts = await storage.counts()
        await storage.close()
        return sum(counts.values())

    assert asyncio.run(scene()) == 200
