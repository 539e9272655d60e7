"""A worker that stops while the reply of a claim is on its way: what it brings is handed back, and nobody pays."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from contextlib import asynccontextmanager

import pytest

from angelica.clock import SystemClock
from angelica.domain.task import State
from angelica.runtime.journal import Journal
from angelica.runtime.means import Means
from angelica.runtime.pulse import LeaseTimes
from angelica.runtime.startfile import StartFile
from angelica.runtime.worker import Worker, WorkerSettings
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Claim
from angelica.storage.wrap import Wrapping
from tests.runtime.house_of_attempts import run, until
from tests.runtime.house_of_functions import registry
from tests.storage.world import new, worker_info

SETTINGS = WorkerSettings(
    async_slots=10,
    thread_slots=2,
    cap=None,
    lease=LeaseTimes(ttl=15.0, interval=5.0, margin=3.0),
    grace=60.0,
    poll=0.05,
    checkpoint_limit=1_000,
)


class SlowReplies(Wrapping):
    """The store has claimed, and while `slow` the reply waits: `claimed` says that it does, `go` lets it arrive."""

    def __init__(self, inner):
        super().__init__(inner)
        self.slow = False
        self.claimed = asyncio.Event()
        self.go = asyncio.Event()

    async def _call(self, verb, call):
        reply = await call()
        if self.slow and verb == "exchange" and reply.claimed:
            self.claimed.set()
            await self.go.wait()
        return reply


class Scene:
    """A worker with functions that run until they are told to stop, one for each executor."""

    def __init__(self, start_file):
        self.clock = SystemClock()
        self.store = SlowReplies(MemoryStorage(self.clock))
        self.start_file = start_file
        self.begun = []
        self.over = threading.Event()
        self.hasten = asyncio.Event()
        self.stopping = None
        functions = registry()

        async def waits():
            self.begun.append("waits")
            await asyncio.sleep(60)

        def blocks():
            self.begun.append("blocks")
            self.over.wait(20)

        for function in (waits, blocks):
            functions.declare(function, name=function.__name__, max_crashes=0)
        means = Means(self.clock, random.Random(3).random, lambda event: None)
        info = worker_info(boot=self.clock.now().boot)
        self.worker = Worker(
            self.store, info, functions, SETTINGS, means=means, journal=Journal(self.clock), start_file=start_file
        )

    async def put(self, name, function="waits"):
        wall = self.clock.wall()
        kind = "thread" if function == "blocks" else "async"
        await self.store.enqueue_many(
            [new(name, function, run_at=wall, created_at=wall, executor=kind)], now=self.clock.now()
        )

    async def claim_slowly(self, function):
        """Let a claim of one more task be under way."""
        self.store.slow = True
        await self.put("late", function)
        await self.store.claimed.wait()

    async def begin_to_stop(self):
        """Stop, and go on when the worker waits: for its exchange, or for what still runs."""
        self.stopping = asyncio.create_task(self.worker.stop(hasten=self.hasten))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def until_queued(self, name):
        async with asyncio.timeout(5):
            while (await self.store.get_tasks([name]))[0].state is not State.QUEUED:  # noqa: ASYNC110 - looks into a store
                await asyncio.sleep(0)

    async def at_rest(self):
        """Nothing is held, nobody has paid, and the worker has signed off."""
        for task in await self.store.get_tasks(["first", "late"]):
            if task is not None:
                assert (task.id, task.state, task.crashes, task.failures) == (task.id, State.QUEUED, 0, 0)
        assert await self.store.list_workers() == ()
        assert not self.start_file.path.exists()


@asynccontextmanager
async def scene(tmp_path):
    made = Scene(StartFile(tmp_path / "w1.started", slots=16))
    await made.store.open()
    await made.worker.start()
    try:
        yield made
    finally:
        for gate in (made.over, made.store.go, made.hasten):
            gate.set()
        await (made.stopping or made.worker.stop(hasten=made.hasten))


@pytest.mark.parametrize("function", ["waits", "blocks"])
def test_a_stop_hastened_while_a_claim_is_under_way_leaves_nothing_behind(tmp_path, function):
    async def story():
        async with scene(tmp_path) as it:
            await it.put("first")
            await until(lambda: it.begun)
            await it.claim_slowly(function)
            it.hasten.set()
            await it.begin_to_stop()
            it.store.go.set()
            await it.stopping
            assert it.begun == ["waits"]
            await it.at_rest()

    run(story())


@pytest.mark.parametrize("function", ["waits", "blocks"])
def test_an_idle_worker_that_stops_while_a_claim_is_under_way_leaves_nothing_behind(tmp_path, function):
    async def story():
        async with scene(tmp_path) as it:
            await it.claim_slowly(function)
            await it.begin_to_stop()
            it.store.go.set()
            await it.stopping
            assert it.begun == []
            await it.at_rest()

    run(story())


@pytest.mark.parametrize("function", ["waits", "blocks"])
def test_what_is_claimed_when_the_stop_has_begun_does_not_run_in_the_grace_time(tmp_path, function):
    async def story():
        async with scene(tmp_path) as it:
            await it.put("first")
            await until(lambda: it.begun)
            await it.claim_slowly(function)
            await it.begin_to_stop()
            it.store.go.set()
            await it.until_queued("late")
            assert not it.stopping.done()  # the first one may still finish
            it.hasten.set()
            await it.stopping
            assert it.begun == ["waits"]
            await it.at_rest()

    run(story())


def test_a_worker_that_leaves_something_behind_says_so(tmp_path, caplog):
    async def story():
        async with scene(tmp_path) as it:
            wall = it.clock.wall()
            await it.store.enqueue_many(
                [new("stray", run_at=wall, created_at=wall, executor="process")], now=it.clock.now()
            )
            lost = await it.store.exchange([], Claim("w1", 1, (("process", 1),)), now=it.clock.now())
            assert len(lost.claimed) == 1  # under the worker's name, and the worker knows nothing of it
            await it.begin_to_stop()
            await it.stopping
            assert len(await it.store.list_workers()) == 1

    with caplog.at_level(logging.WARNING, "angelica.worker"):
        run(story())
    assert "1 task(s) are left to the sweep" in caplog.text
