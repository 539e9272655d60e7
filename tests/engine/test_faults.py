"""A store that fails for a while: ends are kept and written later, nothing is lost or doubled, and stops still end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import angelica
from angelica.clock import SystemClock
from angelica.domain.task import State
from angelica.errors import StorageUnavailable
from angelica.runtime import worker
from angelica.storage.memory import MemoryStorage
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.protocol import TaskFilter
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.wrap import WRITES, Wrapping
from tests.engine.house_of_engines import end_of, engine_on, run, stands, until
from tests.postgres.session import session


class Outage(Wrapping):
    """While `down`, the named verbs fail: before they do anything, or after they have done it (`lost`)."""

    def __init__(self, inner, verbs=WRITES):
        super().__init__(inner)
        self.verbs = frozenset(verbs)
        self.down = self.lost = False
        self.failed = 0

    async def _call(self, verb, call):
        if not self.down or verb not in self.verbs:
            return await call()
        self.failed += 1
        if self.lost:
            await call()
        raise StorageUnavailable(f"{verb} failed")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def inner(request, tmp_path):
    match request.param:
        case "memory":
            return MemoryStorage(SystemClock())
        case "sqlite":
            return SqliteStorage(tmp_path / "a.db")
        case _:
            return PostgresStorage(session().fresh_url())


def engine_over(store, **settings):
    return engine_on("memory:", storage=store, **settings)


@pytest.mark.parametrize("lost", [False, True], ids=["nothing done", "replies lost"])
@pytest.mark.parametrize("verbs", [("exchange",), ("annotate", "append_logs"), tuple(WRITES)], ids=len)
def test_ends_are_kept_and_written_once_the_store_is_back(inner, lost, verbs):
    async def story():
        store = Outage(inner, verbs)
        engine = engine_over(store)
        runs, go = [], asyncio.Event()

        @engine.task(retries=0)
        async def works(n: int, context: angelica.Context):
            runs.append(n)
            await go.wait()
            context.checkpoint(n)
            context.log.info("line of %d", n)
            return n

        async with engine:
            handles = await works.aenqueue_many([(n,) for n in range(20)])
            await until(lambda: len(runs) == 20)
            store.lost, store.down = lost, True
            go.set()
            await until(lambda: store.failed >= 2)
            if "exchange" in verbs:
                await until(lambda: engine._problem() is not None)
            store.down = False
            for n, handle in enumerate(handles):
                task = await end_of(handle)
                assert (task.state, task.result, task.attempt) == (State.SUCCEEDED, str(n), 1)
                assert task.checkpoint == str(n)
                assert [line.message for line in await handle.alogs()] == [f"line of {n}"]
            assert sorted(runs) == list(range(20))
            await until(lambda: engine._problem() is None)

    run(story())


def test_a_claim_whose_reply_was_lost_is_handed_back_and_run(inner):
    async def story():
        store = Outage(inner, ("exchange",))
        engine = engine_over(store, heartbeat=0.1)
        runs = []

        @engine.task(retries=0)
        async def works(n: int):
            runs.append(n)

        async with engine:
            store.lost = store.down = True
            handles = await works.aenqueue_many([(n,) for n in range(5)])
            await until(lambda: store.failed >= 1)
            store.down = False
            for handle in handles:
                task = await end_of(handle)
                assert (task.state, task.failures, task.crashes) == (State.SUCCEEDED, 0, 0)
            assert sorted(runs) == list(range(5))

    run(story())


def test_a_stop_while_the_store_is_down_ends_in_time(inner, monkeypatch):
    monkeypatch.setattr(worker, "LAST_FLUSH", 0.3)

    async def story():
        store = Outage(inner)
        engine = engine_over(store, grace=0.2)
        begun = asyncio.Event()

        @engine.task
        async def works():
            begun.set()
            await asyncio.sleep(0.05)

        await engine.start()
        await works.aenqueue()
        await begun.wait()
        store.down = True
        asked = time.monotonic()
        await engine.stop()
        assert time.monotonic() - asked < 4.0
        assert engine.state == "TERMINATED"

    run(story())


def test_a_start_that_fails_leaves_nothing_and_can_be_repeated(inner):
    async def story():
        store = Outage(inner, ("heartbeat",))
        store.down = True
        engine = engine_over(store)

        @engine.task
        async def f():
            return 1

        with pytest.raises(StorageUnavailable):
            await engine.start()
        assert [t.name for t in threading.enumerate() if t.name.startswith("angelica")] == []
        if isinstance(inner, MemoryStorage):
            return
        store.down = False
        async with engine:
            assert await (await f.aenqueue()).aresult(5) == 1

    run(story())


def test_handlers_stop_when_their_lease_can_no_longer_be_trusted(inner):
    async def story():
        store = Outage(inner, ("heartbeat",))
        engine = engine_over(store, lease_ttl=1, heartbeat=0.1, lease_margin=0.5)
        begun, stopped = asyncio.Event(), asyncio.Event()

        @engine.task(retries=0)
        async def works(context: angelica.Context):
            if context.attempt > 1:
                return "again"
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

        async with engine:
            handle = await works.aenqueue()
            await begun.wait()
            store.down = True
            await asyncio.wait_for(stopped.wait(), 3)
            store.down = False
            assert await handle.aresult(10) == "again"
            assert handle.task.failures == 0

    run(story())


def test_a_submit_fails_with_the_stores_own_words_and_can_be_repeated(inner):
    async def story():
        store = Outage(inner, ("enqueue_many",))
        engine = engine_over(store)

        @engine.task
        async def f():
            return 1

        async with engine:
            store.down = True
            with pytest.raises(StorageUnavailable):
                await f.using(task_id="mine").aenqueue()
            store.lost = True
            with pytest.raises(StorageUnavailable):
                await f.using(task_id="mine").aenqueue()
            store.down = False
            handle = await f.using(task_id="mine").aenqueue()
            assert handle.created is False
            assert await handle.aresult(5) == 1
            assert len((await engine.service.list(TaskFilter())).items) == 1
            await stands(handle, State.SUCCEEDED)

    run(story())


def test_an_exchange_that_fails_in_an_unforeseen_way_does_not_end_the_worker(inner):
    class Broken(Wrapping):
        broken = False

        async def _call(self, verb, call):
            if self.broken and verb in ("exchange", "heartbeat"):
                raise LookupError("a bug in the store")
            return await call()

    async def story():
        store = Broken(inner)
        engine = engine_over(store, heartbeat=0.1)

        @engine.task
        async def f():
            return 1

        async with engine:
            assert await (await f.aenqueue()).aresult(5) == 1
            store.broken = True
            handle = await f.aenqueue()
            await until(lambda: "a bug" in (engine._problem() or ""))
            store.broken = False
            assert await handle.aresult(5) == 1

    run(story())
