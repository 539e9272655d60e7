"""The submitter: what a function asks of its engine when it is enqueued."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from angelica.runtime.functions import Call, CallOf, Function
from angelica.runtime.handle import TaskHandle
from angelica.runtime.intake import Accepted
from angelica.runtime.options import Options
from angelica.runtime.own import Own
from angelica.runtime.schedule_handle import ScheduleHandle
from angelica.runtime.service import Service
from angelica.runtime.submit import current_parent

T = TypeVar("T")


class Opens(Protocol):
    """An engine: opened by the first submit, if by nothing else."""

    after_submit: Callable[[], Awaitable[object]] | None

    @property
    def service(self) -> Service: ...

    def is_ready(self, *, durable: bool) -> bool:
        """Whether a submit can go straight to the service."""
        ...

    async def get_ready(self, *, durable: bool) -> None:
        """Open the store; for a task that is not durable, start what runs it."""
        ...

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""
        ...

    @property
    def is_open(self) -> bool: ...
    def declare_schedule(self, function: Function[Any, Any], definition: Mapping[str, Any]) -> ScheduleHandle: ...
    async def create_schedule(
        self, function: Function[Any, Any], definition: Mapping[str, Any], *, replace: bool
    ) -> ScheduleHandle: ...


class Submitter:
    """Submits calls and returns handles: plain ones by the express, the others by the whole intake."""

    def __init__(self, engine: Opens) -> None:
        self._engine = engine
        self.call = engine.call
        self.declare_schedule = engine.declare_schedule
        self.create_schedule = engine.create_schedule

    @property
    def is_open(self) -> bool:
        """Whether the store is open in this process."""
        return self._engine.is_open

    async def submit_call(
        self, function: Function[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
    ) -> TaskHandle[Any]:
        """Submit one call and return its handle; raises why it was refused."""
        engine = self._engine
        if not engine.is_ready(durable=function.durable):
            await engine.get_ready(durable=function.durable)
        service = engine.service
        if service.express.admits(function, options, 1):
            spec = await service.express.one(function, args, kwargs)
            handle: TaskHandle[Any] = TaskHandle(spec, service, self.call, durable=function.durable)
        else:
            handle = self._handle(await service.submit_one(function, args, kwargs, options))
        if engine.after_submit is not None:
            await engine.after_submit()
        return handle

    async def submit_calls(
        self, function: Function[Any, Any], calls: Sequence[Call], options: Options
    ) -> list[TaskHandle[Any]]:
        """Submit many calls in one transaction, all or none; raises why the first was refused."""
        engine = self._engine
        if not engine.is_ready(durable=function.durable):
            await engine.get_ready(durable=function.durable)
        service, call, durable = engine.service, self.call, function.durable
        if service.express.admits(function, options, len(calls)):
            specs = await service.express.many(function, calls)
            handles: list[TaskHandle[Any]] = [TaskHandle(spec, service, call, durable=durable) for spec in specs]
        else:
            handles = [self._handle(each) for each in await service.submit_many(function, calls, options)]
        if engine.after_submit is not None:
            await engine.after_submit()
        return handles

    async def submit_all(self, calls: Sequence[CallOf]) -> list[TaskHandle[Any]]:
        """Submit calls of any functions in one transaction, all or none; raises why the first was refused."""
        if not calls:
            return []
        durable = all(function.durable for function, _ in calls)
        if not self._engine.is_ready(durable=durable):
            await self._engine.get_ready(durable=durable)
        handles = [self._handle(each) for each in await self._engine.service.submit_all(calls)]
        if self._engine.after_submit is not None:
            await self._engine.after_submit()
        return handles

    def submit_inside(self, calls: Sequence[CallOf], own: Own) -> list[TaskHandle[Any]]:
        """Submit calls in the caller's transaction: what touches the connection is done in this very thread."""
        if not self._engine.is_ready(durable=True):
            self.call(self._engine.get_ready(durable=True))
        joining = self._engine.service.joining
        joined = joining.join(own, is_async=False)
        if not calls:
            return []
        prepared = self.call(joining.prepare(calls, current_parent()))
        stored = joined.enqueue_many(prepared.tasks, now=prepared.now, notify=own.notify)
        return [self._handle(each) for each in self.call(joining.answer(prepared, stored))]

    async def asubmit_inside(self, calls: Sequence[CallOf], own: Own) -> list[TaskHandle[Any]]:
        """Submit calls in the caller's transaction, on an async connection."""
        if not self._engine.is_ready(durable=True):
            await self._engine.get_ready(durable=True)
        joining = self._engine.service.joining
        joined = joining.join(own, is_async=True)
        if not calls:
            return []
        prepared = await joining.prepare(calls, current_parent())
        stored = await joined.aenqueue_many(prepared.tasks, now=prepared.now, notify=own.notify)
        return [self._handle(each) for each in await joining.answer(prepared, stored)]

    def _handle(self, accepted: Accepted) -> TaskHandle[Any]:
        created, durable = accepted.created, accepted.durable
        return TaskHandle(accepted.task, self._engine.service, self.call, created=created, durable=durable)
