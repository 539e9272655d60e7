"""The fence: while it stands nothing is written, it ends by itself, and a store that has moved says where to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from angelica.clock import SECOND
from angelica.domain.fence import Fence
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask
from angelica.errors import Conflict, StorageUnavailable, StoreMoved
from angelica.storage.move.fences import FenceLost, committed, kept, lifted, put, raised
from angelica.storage.move.plan import REST
from angelica.storage.protocol import Beat, Claim, FunctionRow, LogLine, Note, Request, SchedulePut, Storage
from angelica.storage.sqlite.adapter import SqliteStorage
from tests.move.house import KINDS, Place, opened, place, story
from tests.schedules.house import schedule
from tests.storage.world import START, new, worker_info

LONG = 3_600 * SECOND
TOMBSTONES = next(table for table in REST if table.name == "tombstones")
MOVING = Fence("moving", "m1", "postgresql://there/db", "here")


@pytest.fixture(params=KINDS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place(request.param, tmp_path)


@asynccontextmanager
async def fenced(at: Place, fence: Fence, length: int = LONG) -> AsyncIterator[tuple[Storage, Any]]:
    async with opened(at.storage()) as storage:
        (item,) = (await storage.enqueue_many([new("t0")], now=await storage.time())).items
        assert item.status == "created"
        async with opened(at.side()) as side:
            await side.arm()
            await side.swap_fence(raised(fence, length))
            yield storage, side


def writes(storage: Storage, now: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Each verb that writes, once in each way that an adapter has for it."""
    task = new("t1")
    rare = NewTask("t2", "f", "{}", START, START, expires_at=START * 2)
    request = Request("me", "k", "POST /tasks", "d", START * 2)
    claim = Claim("w1", 5, (("async", 5),))
    beat = Beat(worker_info(), now.tick + SECOND, now.wall)
    return {
        "submit": lambda: storage.enqueue_many([task], now=now),
        "submit rare": lambda: storage.enqueue_many([rare], now=now),
        "submit both": lambda: storage.enqueue_many([task, rare], now=now),
        "submit with a request": lambda: storage.enqueue_many([task], now=now, request=request),
        "claim": lambda: storage.exchange((), claim, now=now),
        "heartbeat": lambda: storage.heartbeat(beat, now=now),
        "cancel": lambda: storage.cancel_many(["t0"], reason="x", now=now),
        "functions": lambda: storage.put_functions([FunctionRow("f", 1, "async", "{}", "{}", "", START)]),
        "schedule": lambda: storage.put_schedules([SchedulePut(schedule())], now=now),
        "end worker": lambda: storage.end_worker("w1", now=now),
    }


@story
async def test_every_write_is_refused_and_every_read_answered(at: Place) -> None:
    async with fenced(at, MOVING) as (storage, side):
        now = await storage.time()
        for name, write in writes(storage, now).items():
            with pytest.raises(StorageUnavailable, match="being moved to postgresql://there/db") as refused:
                await write()
            assert refused.value.retry_after >= 1, name
        assert (await storage.get_tasks(["t0", "t1"]))[1] is None
        fence = await storage.fence()
        assert fence is not None
        assert fence.state == "moving"
        await side.swap_fence(lifted("m1"))
        await side.disarm()
        assert await storage.fence() is None
        for write in writes(storage, now).values():
            await write()


@story
async def test_the_end_of_an_attempt_is_refused_and_can_be_repeated(at: Place) -> None:
    async with opened(at.storage()) as storage:
        now = await storage.time()
        await storage.enqueue_many([new("t0")], now=now)
        (task,) = (await storage.exchange((), Claim("w1", 1, (("async", 1),)), now=now)).claimed
        end = complete(task, Succeeded('"x"'), now=now, chance=0.0)
        lines = [LogLine("t0", 1, 1, START, "log", "info", "x", "text")]
        async with opened(at.side()) as side:
            await side.arm()
            await side.swap_fence(raised(MOVING, LONG))
            for write in (
                lambda: storage.exchange([end], None, now=now),
                lambda: storage.exchange([end], None, now=now, journal=lines),
                lambda: storage.append_logs(lines),
                lambda: storage.annotate([Note("t0", 1, "1")]),
            ):
                with pytest.raises(StorageUnavailable):
                    await write()
            await side.swap_fence(lifted("m1"))
        assert (await storage.exchange([end], None, now=now, journal=lines)).accepted == (True,)


@story
async def test_while_workers_are_asked_to_rest_all_is_written(at: Place) -> None:
    draining = Fence("draining", "m1", "there", "here")
    async with fenced(at, draining) as (storage, _):
        for write in writes(storage, await storage.time()).values():
            await write()


@story
async def test_a_fence_ends_by_itself(at: Place) -> None:
    async with fenced(at, MOVING, SECOND) as (storage, side):
        now = await storage.time()
        with pytest.raises(StorageUnavailable):
            await storage.enqueue_many([new("t1")], now=now)
        await asyncio.sleep(1.1)
        await storage.enqueue_many([new("t1")], now=now)
        for judge in (kept(MOVING, LONG), committed(MOVING)):
            with pytest.raises(FenceLost):
                await side.swap_fence(judge)
        await side.swap_fence(raised(Fence("moving", "m2", "there", "here"), LONG))
        with pytest.raises(Conflict, match="another move is under way"):
            await side.swap_fence(raised(MOVING, LONG))


@story
async def test_a_store_that_has_moved_names_the_new_one(at: Place) -> None:
    async with fenced(at, MOVING) as (storage, side):
        now = await storage.time()
        await side.swap_fence(committed(MOVING))
        for write in writes(storage, now).values():
            with pytest.raises(StoreMoved, match="has moved to postgresql://there/db"):
                await write()
        await side.swap_fence(lifted(None))
        with pytest.raises(StoreMoved):
            await side.swap_fence(raised(Fence("moving", "m2", "elsewhere", "here"), LONG))
    with pytest.raises(StoreMoved) as moved:
        await at.storage().open()
    assert moved.value.url == MOVING.to


@story
async def test_a_store_that_is_being_filled_is_of_no_use_yet(at: Place) -> None:
    async with fenced(at, MOVING) as (storage, side):
        await side.swap_fence(put(Fence("receiving", "m1", "here", "there")))
        with pytest.raises(StorageUnavailable, match="being filled from there"):
            await storage.enqueue_many([new("t1")], now=await storage.time())
        with pytest.raises(StorageUnavailable, match="being filled from there"):
            await at.storage().open()


@story
async def test_no_write_is_under_way_once_the_fence_stands(at: Place) -> None:
    """Whatever was acknowledged is there when the mover reads; nothing comes after."""
    async with opened(at.storage()) as storage:
        now = await storage.time()
        acknowledged: list[str] = []

        async def submit(name: str) -> None:
            for n in range(1000):
                task_id = f"{name}-{n}"
                try:
                    await storage.enqueue_many([new(task_id)], now=now)
                except StorageUnavailable:
                    return
                acknowledged.append(task_id)
            raise AssertionError("the fence came too late")

        async with opened(at.side()) as side:
            await side.arm()
            async with asyncio.TaskGroup() as group:
                for n in range(8):
                    group.create_task(submit(f"s{n}"))
                await asyncio.sleep(0.2)
                await side.swap_fence(raised(MOVING, LONG))
                found = set(await side.ids("", 10_000, ended=False))
            assert found == set(acknowledged)
            assert set(await side.ids("", 10_000, ended=False)) == found


@story
async def test_one_mover_at_a_time(at: Place) -> None:
    async with opened(at.storage()):
        pass
    async with opened(at.side()):
        with pytest.raises(Conflict, match="another move of"):
            await at.side().open()


@story
async def test_another_process_sees_the_fence_of_a_file(tmp_path: Path) -> None:
    at = place("sqlite", tmp_path)
    async with opened(SqliteStorage(tmp_path / "angelica.db")) as other, fenced(at, MOVING):
        with pytest.raises(StorageUnavailable):
            await other.enqueue_many([new("t1")], now=await other.time())


@story
async def test_a_users_transaction_that_has_submitted_is_waited_for_and_one_that_comes_later_is_refused() -> None:
    at = place("postgres", Path())
    async with opened(at.storage()) as storage, opened(at.side()) as side:
        url, schema = at.url.split("?schema=")
        text = " ".join(["insert into", f"{schema}.tombstones", "values ($1, 0)"])
        await side.arm()
        early, late = await asyncpg.connect(url), await asyncpg.connect(url)
        transaction = early.transaction()
        await transaction.start()
        await early.execute(text, "early")
        raising = asyncio.create_task(side.swap_fence(raised(MOVING, LONG)))
        await asyncio.sleep(1.5)  # longer than the mover waits at a time
        assert not raising.done()
        await transaction.commit()
        await raising
        with pytest.raises(asyncpg.PostgresError, match="the data is being moved; nothing was written"):
            await late.execute(text, "late")
        assert await storage.delete_schedules([], now=await storage.time()) == ()
        assert [row[0] for row in await side.page(TOMBSTONES, None, 9)] == ["early"]
        await early.close()
        await late.close()
