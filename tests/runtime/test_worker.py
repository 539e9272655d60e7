"""The worker over a store, without an engine: leases lost, strays, late writes, and claims that nobody expected."""

from __future__ import annotations

import asyncio
import random

from angelica.clock import SECOND, SystemClock
from angelica.domain.events import TasksCancelled, TasksClaimed, TasksEnded, WriteRefused
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import LeaseExpired
from angelica.domain.task import State
from angelica.runtime.journal import Journal
from angelica.runtime.means import Means
from angelica.runtime.pulse import LeaseTimes
from angelica.runtime.worker import Worker
from angelica.runtime.worker_settings import WorkerSettings
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Claim, WorkerRow
from tests.runtime.house_of_attempts import run, until
from tests.runtime.house_of_functions import registry
from tests.storage.world import new, worker_info

TIMES = LeaseTimes(ttl=15.0, interval=0.05, margin=3.0)
SETTINGS = WorkerSettings(
    async_slots=10, thread_slots=2, cap=None, lease=TIMES, grace=1.0, poll=0.05, checkpoint_limit=1_000
)


class Scene:
    def __init__(self):
        self.clock = SystemClock()
        self.storage = MemoryStorage(self.clock)
        self.functions = registry()
        self.events = []
        means = Means(self.clock, random.Random(3).random, self.events.append)
        info = worker_info(boot=self.clock.now().boot)
        self.dismissed = []
        self.worker = Worker(
            self.storage,
            info,
            self.functions,
            SETTINGS,
            means=means,
            journal=Journal(self.clock),
        )
        self.worker.dismissed = lambda: self.dismissed.append(True)

    async def __aenter__(self):
        await self.storage.open()
        await self.worker.start()
        return self

    async def __aexit__(self, *exc):
        await self.worker.stop()

    async def put(self, *names, function="f"):
        wall = self.clock.wall()
        tasks = [new(name, function, run_at=wall, created_at=wall) for name in names]
        await self.storage.enqueue_many(tasks, now=self.clock.now())

    async def control(self, control):
        return await self.storage.control_workers(["w1"], control, now=self.clock.now())

    def row(self):
        holder = self.storage._table.holders["w1"]
        return WorkerRow(holder.info, holder.lease_until, holder.seen_at, len(holder.running), holder.control)

    async def task(self, name):
        return (await self.storage.get_tasks([name]))[0]

    async def stands(self, name, state):
        for _ in range(2_000):
            if (await self.task(name)).state is state:
                return
            await asyncio.sleep(0.002)
        raise AssertionError(await self.task(name))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_what_happens_is_emitted_once_after_it_is_stored():
    async def story():
        scene = Scene()

        async def f(): ...

        scene.functions.declare(f, name="f")
        async with scene:
            await scene.put("a", "b")
            await scene.stands("b", State.SUCCEEDED)
            await scene.stands("a", State.SUCCEEDED)
            await until(lambda: sum(len(event.ends) for event in scene.of(TasksEnded)) == 2)
        assert sorted(task.id for event in scene.of(TasksClaimed) for task in event.tasks) == ["a", "b"]
        assert scene.worker.refused == 0

    run(story())


def test_a_lease_that_somebody_else_ended_stops_the_handler_and_writes_nothing():
    async def story():
        scene, begun, stopped = Scene(), asyncio.Event(), asyncio.Event()

        async def f():
            begun.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

        scene.functions.declare(f, name="f", max_crashes=0)
        async with scene:
            await scene.put("a")
            await begun.wait()
            task = await scene.task("a")
            end = complete(task, LeaseExpired("w1"), now=scene.clock.now(), chance=0.0, started_at=1)
            assert (await scene.storage.exchange([end], None, now=scene.clock.now())).accepted == (True,)
            begun.clear()
            await asyncio.wait_for(stopped.wait(), 5)
            await begun.wait()  # it was free again, so this worker has taken the next attempt
            assert (await scene.task("a")).attempt == 2
            assert [event.verb for event in scene.of(WriteRefused)] == ["lease"]
            assert scene.worker.refused == 1

    run(story())


def test_a_claim_whose_reply_never_came_is_handed_back():
    async def story():
        scene = Scene()

        async def f(): ...

        scene.functions.declare(f, name="f")
        async with scene:
            room = (("process", 1),)
            wall = scene.clock.wall()
            stray = new("stray", run_at=wall, created_at=wall, executor="process")
            await scene.storage.enqueue_many([stray], now=scene.clock.now())
            reply = await scene.storage.exchange([], Claim("w1", 1, room), now=scene.clock.now())
            assert len(reply.claimed) == 1  # under the worker's name, and the worker knows nothing of it
            await scene.stands("stray", State.QUEUED)
            task = await scene.task("stray")
            assert (task.failures, task.crashes) == (0, 0)

    run(story())


def test_a_function_that_nobody_here_knows_is_parked():
    async def story():
        scene = Scene()
        async with scene:
            await scene.put("a", function="unknown")
            await until(lambda: scene.of(TasksEnded))
            task = await scene.task("a")
            assert (task.state, task.held, task.failures) == (State.QUEUED, "unknown_function", 0)

    run(story())


def test_tasks_that_lapsed_at_the_claim_are_said_to_be_cancelled():
    async def story():
        scene = Scene()

        async def f(): ...

        scene.functions.declare(f, name="f")
        await scene.storage.open()
        wall = scene.clock.wall() - 10 * SECOND
        late = new("late", run_at=wall, created_at=wall, expires_at=wall + SECOND)
        await scene.storage.enqueue_many([late], now=scene.clock.now())
        async with scene:
            await until(lambda: scene.of(TasksCancelled))
        assert scene.of(TasksCancelled) == [TasksCancelled(("late",), "expired")]

    run(story())


def test_a_worker_that_drains_claims_no_more_ends_what_runs_and_goes_on_when_asked():
    async def story():
        scene = Scene()
        gate = asyncio.Event()

        async def f():
            await gate.wait()

        scene.functions.declare(f, name="f", concurrency=1)
        async with scene:
            await scene.put("a", "waits")
            await scene.stands("waits", State.RUNNING)
            assert await scene.control("drain") == ("done",)
            await scene.stands("waits", State.QUEUED)  # handed back: it had not begun
            await until(lambda: scene.row().info.heeds == "drain")
            await scene.put("b")
            gate.set()
            await scene.stands("a", State.SUCCEEDED)
            await asyncio.sleep(0.2)  # four polls
            assert (await scene.task("b")).state is State.QUEUED
            assert scene.row().running == 0
            await scene.control("run")
            await scene.stands("b", State.SUCCEEDED)
            await scene.stands("waits", State.SUCCEEDED)
            await until(lambda: scene.row().info.heeds == "run")

    run(story())


def test_a_stop_from_afar_is_told_once_to_whom_it_belongs():
    async def story():
        scene = Scene()
        async with scene:
            await scene.control("drain")
            await until(lambda: scene.row().info.heeds == "drain")
            await scene.control("stop")
            await until(lambda: scene.dismissed)
            await asyncio.sleep(0.2)
            assert scene.dismissed == [True]
        assert scene.storage._table.holders == {}

    run(story())
