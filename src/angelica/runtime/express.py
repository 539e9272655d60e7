"""The express: plain calls of functions of this process, straight to the storage; what most submits are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from angelica.clock import Clock, Now
from angelica.current import CURRENT
from angelica.domain.events import Event, TasksSubmitted
from angelica.domain.task import NewTask, Task
from angelica.domain.value import maker
from angelica.runtime.depth import Depth
from angelica.runtime.functions import Call, Function
from angelica.runtime.hooks import Hooks
from angelica.runtime.options import NO_OPTIONS, Options
from angelica.runtime.submit import Parent, TaskMaker
from angelica.storage.protocol import Storage

_submitted: Final = maker(TasksSubmitted)

CROWD: Final = 500
"""Unfinished tasks in memory from which on submits give the event loop a turn, one in sixteen."""


class Lane(Storage, Protocol):
    """The in-process queue of functions that are not durable."""

    @property
    def unfinished(self) -> int:
        """How many of its tasks have not ended."""
        ...

    def put(self, task: NewTask, *, now: Now) -> None:
        """Store one new task that is due; no wait and no answer."""
        ...

    def drop_oldest(self, *, now: Now) -> Task | None:
        """Cancel the oldest ready task and return it, None if none is ready."""
        ...


class Express:
    """A plain call has no options, no hook to pass, no parent and no bound to keep to; its id is new.

    So nothing of it can be refused, and all it needs are its arguments as text and a place in the queue.
    """

    def __init__(  # noqa: PLR0913 - called once, each by its name
        self,
        storage: Storage,
        lane: Lane | None,
        *,
        clock: Clock,
        hooks: Hooks,
        make: TaskMaker,
        emit: Callable[[Event], None],
        check_open: Callable[[Parent | None], None],
        memory_bound: int | None,
        depth: Depth,
    ) -> None:
        self._storage = storage
        self._lane = lane
        self._now = clock.now
        self._hooks = hooks
        self._make = make.plain
        self._emit = emit
        self._count = 0
        self._check_open = check_open
        self._memory_bound = memory_bound
        self._depth = depth

    def admits(self, function: Function[..., Any], options: Options, count: int) -> bool:
        """Whether `count` calls of a function may go this way. Raises `ShuttingDown`."""
        if (
            options is not NO_OPTIONS
            or not function.is_plain
            or self._memory_bound is None
            or CURRENT.get() is not None
            or self._hooks.concern_submits
            or (function.durable and self._depth.is_bounded(function.defaults.queue))
        ):
            return False
        self._check_open(None)
        return function.durable or (self._lane is not None and self._lane.unfinished + count <= self._memory_bound)

    async def one(self, function: Function[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> NewTask:
        """Store one call; raises `InvalidArguments`, `StorageUnavailable`."""
        now = self._now()
        spec = self._make(function.defaults, function.encode(args, kwargs), now.wall)
        lane = self._lane
        if function.durable or lane is None:
            if self._depth.is_old(now):
                await self._depth.look(now)
            await self._storage.enqueue_many((spec,), now=now)
        else:
            lane.put(spec, now=now)
            self._count += 1
            if not self._count & 15 and lane.unfinished > CROWD:
                # Memory never waits: without this a busy caller would fill it before the loop runs any of it.
                await asyncio.sleep(0)
        self._emit(_submitted((spec,)))
        return spec

    async def many(self, function: Function[..., Any], calls: Sequence[Call]) -> list[NewTask]:
        """Store many calls in one transaction; raises `InvalidArguments`, `StorageUnavailable`."""
        now = self._now()
        make, encode, defaults, wall = self._make, function.encode, function.defaults, now.wall
        specs = [make(defaults, encode(args, kwargs), wall) for args, kwargs in calls]
        storage = self._storage if function.durable or self._lane is None else self._lane
        if self._depth.is_old(now):
            await self._depth.look(now)
        await storage.enqueue_many(specs, now=now)
        self._emit(TasksSubmitted(tuple(specs)))
        return specs
