"""A move as a whole: which targets will do, how it is given up, and how it goes on after a kill at any point."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Succeeded
from angelica.domain.task import NewTask
from angelica.errors import Conflict, SchemaMismatch, StorageCorrupt, StoreMoved
from angelica.storage.move import carry, mover
from angelica.storage.move.fences import put
from angelica.storage.move.mover import Mover, abort
from angelica.storage.move.plan import PARTS, REST, TASKS, WORKERS
from angelica.storage.move.target import drop_target
from angelica.storage.protocol import Beat, Claim, Storage
from angelica.storage.sqlite.moving import SqliteSide
from tests.move.house import WAYS, Place, dumped, move, opened, place, story
from tests.storage.world import LEASE, START, line, new, worker_info

POINTS = ["claimed", "copied", "drained", "fenced", "rested", "verified", "committed"]
BEFORE_COMMIT = POINTS[:-1]
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=WAYS, ids="-".join)
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Place]:
    return place(request.param[0], tmp_path, name="a.db"), place(request.param[1], tmp_path, name="b.db")


@pytest.fixture
def across(tmp_path: Path) -> tuple[Place, Place]:
    return place("sqlite", tmp_path, name="a.db"), place("postgres", tmp_path)


async def fill(at: Place, ended: int = 30, waiting: int = 5) -> None:
    async with opened(at.storage()) as storage:
        await work_off(storage, [new(f"e{n:04}", labels={"n": str(n)}) for n in range(ended)])
        await storage.enqueue_many([new(f"w{n}") for n in range(waiting)], now=await storage.time())


async def work_off(storage: Storage, tasks: list[NewTask]) -> None:
    now = await storage.time()
    await storage.enqueue_many(tasks, now=now)
    while claimed := (await storage.exchange((), Claim("w1", 500, (("async", 500),)), now=now)).claimed:
        done = [complete(task, Succeeded('"x"'), now=now, chance=0.0) for task in claimed]
        journal = [line(task, 1) for task in claimed]
        assert all((await storage.exchange(done, None, now=now, journal=journal)).accepted)


def cut(at_point: str) -> Callable[[str], None]:
    def reached(point: str) -> None:
        if point == at_point:
            raise Interrupted

    return reached


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("point", BEFORE_COMMIT)
@story
async def test_a_move_that_fails_leaves_the_source_in_work_and_can_be_done_again(ends, point: str) -> None:
    source, target = ends
    await fill(source)
    with pytest.raises(Interrupted):
        await move(source, target, reached=cut(point))
    async with opened(source.storage()) as storage:  # goes on at once, and changes everything that can change
        now = await storage.time()
        await work_off(storage, [new("e0100")])
        assert await storage.delete_tasks(["e0000", "e0001"]) == (True, True)
        await work_off(storage, [new("e0001", queue="other")])  # the same id again, as another task
        await storage.enqueue_many([new("w9")], now=now)
    before = await dumped(source)
    moved = await move(source, target, fresh="m2")
    assert await dumped(target) == before
    assert moved.rows["tasks"] == len(before["tasks"])
    with pytest.raises(StoreMoved):
        await source.storage().open()
    async with opened(target.storage()) as storage:
        await storage.enqueue_many([new("later")], now=await storage.time())


@story
async def test_what_ends_or_goes_while_it_is_copied(ends, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = ends
    for name, size in (("PAGE", 7), ("CHUNK", 3), ("FEW", 0)):
        monkeypatch.setattr(carry, name, size)
    await fill(source, ended=40, waiting=20)
    async with opened(source.storage()) as storage, opened(source.side()) as leaving, opened(target.side()) as filled:
        load = filled.load
        calls = 0

        async def disturbed(*args: Any, **more: Any) -> None:
            nonlocal calls
            calls += 1
            if calls < 12:
                await work_off(storage, [new(f"a{calls}"), new(f"z{calls}")])
                assert await storage.delete_tasks([f"e{calls:04}", f"e{39 - calls:04}"])
            await load(*args, **more)

        filled.load = disturbed
        await Mover(leaving, filled, fresh="m1", grace=0).run()
    found = await dumped(target)
    assert found == await dumped(source)
    assert calls > 12


def test_killed_at_any_point_it_goes_on(across, tmp_path: Path) -> None:
    source, target = across
    asyncio.run(fill(source))
    for point in POINTS:
        killed = in_a_process(source, target, point)
        assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
        if point != "committed":
            asyncio.run(goes_on(source, point))
    before = asyncio.run(dumped(source))
    with pytest.raises(StoreMoved):
        asyncio.run(goes_on(source, "after"))
    done = in_a_process(source, target, "none")
    assert done.returncode == 0, done.stderr
    assert asyncio.run(dumped(target)) == before
    asyncio.run(goes_on(target, "after"))


async def goes_on(at: Place, name: str) -> None:
    """The fence of a mover that was killed ends by itself."""
    async with opened(at.storage()) as storage, asyncio.timeout(10):
        while True:
            try:
                await work_off(storage, [new(f"e-{name}")])
            except mover.StorageUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


def in_a_process(source: Place, target: Place, point: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.move.killed", source.url, target.url, point]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@story
async def test_an_aborted_move_leaves_both_as_they_were(across) -> None:
    source, target = across
    await fill(source)
    before = await dumped(source)
    with pytest.raises(Interrupted):
        await move(source, target, reached=cut("verified"))
    async with opened(source.side()) as leaving, opened(target.side()) as filled:
        await leaving.swap_fence(put(mover.Fence("moving", "m1", "there", "here", until=START * 2)))
        stood = await abort(leaving)
        assert stood is not None
        assert stood.state == "moving"
        await drop_target(leaving, filled)
        with pytest.raises(Conflict, match="is not being filled from"):
            await drop_target(leaving, filled)
    assert await dumped(source) == before
    assert (await dumped(target))["tasks"] == []
    async with opened(target.storage()) as storage:
        await storage.enqueue_many([new("own")], now=await storage.time())


@story
async def test_a_target_that_is_in_use_is_refused(ends) -> None:
    source, target = ends
    await fill(source)
    await fill(target, ended=1)
    with pytest.raises(Conflict, match="is not empty"):
        await move(source, target)
    async with opened(source.storage()) as storage:
        assert await storage.fence() is None


@story
async def test_the_store_itself_is_refused_by_whatever_name(tmp_path: Path) -> None:
    source = place("postgres", tmp_path)
    await fill(source)
    again = Place(source.url.replace("?", "?application_name=x&"))
    async with opened(source.side()) as leaving:
        filled = again.side()
        with pytest.raises(Conflict, match="another move of"):
            await filled.open()
        with pytest.raises(Conflict, match="is the store that is to be moved"):
            await Mover(leaving, leaving, fresh="m1").run()


@story
async def test_a_target_that_another_store_fills_is_refused(across, tmp_path: Path) -> None:
    source, target = across
    other = place("sqlite", tmp_path, name="other.db")
    await fill(source)
    await fill(other)
    with pytest.raises(Interrupted):
        await move(other, target, fresh="m2", reached=cut("copied"))
    with pytest.raises(Conflict, match=r"filled from another store, sqlite:.*other\.db"):
        await move(source, target)
    async with opened(source.side()) as leaving, opened(target.side()) as filled:
        with pytest.raises(Conflict, match="is not being filled from"):
            await drop_target(leaving, filled)


@story
async def test_a_target_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    target = place("sqlite", tmp_path)
    async with opened(target.side()) as side:
        await side._write(_pretend)
    with pytest.raises(SchemaMismatch, match="this Angelica knows versions up to"):
        await target.side().open()


async def _pretend(tx: Any) -> None:
    tx.fetch("insert into migrations (number, name, checksum, applied_at) values (99, 'later', 'x', 0)", ())


@story
async def test_a_store_that_has_moved_cannot_be_moved_again_nor_filled(across, tmp_path: Path) -> None:
    source, target = across
    await fill(source)
    await move(source, target)
    third = place("sqlite", tmp_path, name="third.db")
    with pytest.raises(StoreMoved):
        await move(source, third, fresh="m2")
    with pytest.raises(Conflict, match="has itself been moved"):
        await move(target, source, fresh="m3")
    await move(target, third, fresh="m4")
    async with opened(third.storage()) as storage:
        assert sum((await storage.counts()).values()) == 35


@story
async def test_a_row_that_arrives_as_another_one_is_found(across, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = across
    await fill(source)
    tasks = SqliteSide.tasks

    async def altered(self: SqliteSide, ids: Any) -> Any:
        return [(*row[:-1], "changed") for row in await tasks(self, ids)]

    monkeypatch.setattr(SqliteSide, "tasks", altered)
    async with opened(source.side()) as leaving, opened(target.side()) as filled:
        parts = filled.tasks
        filled.tasks = lambda ids: _without_last(parts(ids))
        with pytest.raises(StorageCorrupt, match="tasks: what the target has"):
            await Mover(leaving, filled, fresh="m1", grace=0).run()


async def _without_last(rows: Any) -> Any:
    return [(*row[:-1], None) for row in await rows]


@story
async def test_rows_without_their_task_are_told(across) -> None:
    source, target = across
    await fill(source)
    async with opened(source.side()) as side:
        await side.load({PARTS[0].name: [("gone", "a", "b")]}, {}, {})
    with pytest.raises(StorageCorrupt, match="labels: 31 rows in the source, 30 in the target"):
        await move(source, target)


@story
async def test_counters_that_were_wrong_are_right_afterwards(across) -> None:
    source, target = across
    await fill(source)
    async with opened(source.side()) as side:
        await side.load({}, {("default", "queued"): 7}, {})
    await move(source, target)
    found = await dumped(target)
    assert found["counters"] == found["counted"] == {("default", "succeeded"): 30, ("default", "queued"): 5}


@story
async def test_what_still_runs_goes_with_what_is_left_of_its_lease(ends) -> None:
    source, target = ends
    async with opened(source.storage()) as storage:
        now = await storage.time()
        beat = Beat(worker_info("w1", boot=now.boot), now.tick + LEASE, now.wall)
        await storage.heartbeat(beat, now=now)
        await storage.enqueue_many([new("t1"), new("t2")], now=now)
        await storage.exchange((), Claim("w1", 1, (("async", 1),)), now=now)
        await storage.exchange((), Claim("gone", 1, (("async", 1),)), now=now)
    moved = await move(source, target)
    assert moved.running == 2
    async with opened(target.storage()) as storage:
        now = await storage.time()
        (row,) = await storage.list_workers()
        assert row.info.id == "w1"
        assert LEASE - 10_000_000 < row.lease_until - now.tick < LEASE
        assert [task.id for task in await storage.expired(now=now)] == ["t2"]
        later = now._replace(tick=now.tick + LEASE)
        assert [task.id for task in await storage.expired(now=later)] == ["t1", "t2"]


@story
async def test_the_plan_knows_every_column(tmp_path: Path) -> None:
    async with opened(place("sqlite", tmp_path).side()) as side:
        for table in (TASKS, *PARTS, *REST, WORKERS):
            columns = await side._rows("select name from pragma_table_info(?1)", (table.name,))
            assert sorted(name for (name,) in columns) == sorted(table.columns), table.name
        tables = await side._rows("select name from sqlite_schema where type = 'table'", ())
        own = {"counters", "meta", "migrations"}
        assert {name for (name,) in tables} - own == {table.name for table in (TASKS, *PARTS, *REST, WORKERS)}
