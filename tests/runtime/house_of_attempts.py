"""What the tests of the worker's parts share: assignments, executors without a worker, and a bound on waiting."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

from angelica.clock import ManualClock
from angelica.domain.task import Policy, State, Task
from angelica.runtime.assignment import Assignment
from angelica.runtime.attempt import AttemptSteps
from angelica.runtime.context import Context
from tests.runtime.house_of_functions import registry
from tests.storage.world import new

CLOCK = ManualClock()
SINK = SimpleNamespace(write=lambda *given: None, feed=lambda *given: None)


def assignment(handler, name="t", *, attempt=1, notes=None, payload='{"args":[],"kwargs":{}}', **given):
    """An assignment of a handler as a worker would make it; policy fields and `concurrency` may be given."""
    policy = {key: given.pop(key) for key in ("timeout", "retries", "backoff", "retry_on") if key in given}
    task = {key: given.pop(key) for key in ("failures", "checkpoint") if key in given}
    spec = {key: given.pop(key) for key in ("labels", "headers", "deadline") if key in given}
    custom = policy.pop("backoff") if callable(policy.get("backoff")) else None
    function = registry().declare(handler, name="f", **given, **({"backoff": custom} if custom else {}))
    made = new(name, "f", payload=payload, policy=Policy(**policy), executor=function.executor, **spec)
    running = Task(made, State.RUNNING, attempt=attempt, **task)
    notes = [] if notes is None else notes

    def contexts(of):
        return Context(of, wall=CLOCK.wall, note=notes.append, limit=100)

    return Assignment(running, function, function.handler, SINK, 0, contexts)


class Done:
    """Takes the outcomes of an executor."""

    def __init__(self):
        self.outcomes = {}
        self.order = []

    def begin(self, made):
        made.started_at = CLOCK.wall()

    def __call__(self, made, outcome):
        made.finished = True
        self.outcomes[made.task_id] = outcome
        self.order.append(made.task_id)

    async def wait(self, count, within=5.0):
        await until(lambda: len(self.order) >= count, within)


@asynccontextmanager
async def executor_of(kind, slots, begin=None):
    done = Done()
    executor = kind(slots, steps=AttemptSteps(wall=CLOCK.wall), begin=begin or done.begin, done=done)
    try:
        yield executor, done
    finally:
        await executor.close()


def run(coroutine, within=20.0):
    async def bounded():
        async with asyncio.timeout(within):
            return await coroutine

    return asyncio.run(bounded())


async def until(holds, within=5.0):
    ends_at = time.monotonic() + within
    while not holds():
        assert time.monotonic() < ends_at, "it did not come true in time"
        await asyncio.sleep(0.002)


async def no_handler():
    """A handler that does nothing."""
