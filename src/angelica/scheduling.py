"""Scheduling: what an engine offers of schedules in Python, on top of the service that all surfaces share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from angelica.domain.task import Task
from angelica.errors import AngelicaError
from angelica.runtime.declarations import Declarations
from angelica.runtime.functions import AsyncFunction, Function
from angelica.runtime.handle import TaskHandle
from angelica.runtime.ownership import Declared
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.schedule_drafts import read_schedule
from angelica.runtime.schedule_handle import ScheduleHandle
from angelica.runtime.schedules import Schedules

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class ScheduleDecorator(Protocol):
    """What `@engine.schedule(…)` gives: declares a schedule of a function, or of a handler that becomes one."""

    @overload
    def __call__(self, handler: AsyncFunction[P, R], /) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, handler: Function[P, R], /) -> Function[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, handler: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Function[P, R]: ...


class Scheduling(ABC):
    """The part of an `Engine` that is about schedules."""

    functions: FunctionRegistry
    _schedules: Schedules | None
    _declarations: Declarations
    _brought = False
    """Whether the declarations have been brought into the store that is open."""

    @property
    def schedules(self) -> Schedules:
        """What HTTP, the CLI and the handles ask for about schedules; raises `AngelicaError` while it is not open."""
        if self._schedules is None:
            raise AngelicaError("the engine is not open: await engine.start(), or mount it with engine.lifespan")
        return self._schedules

    def schedule(self, **definition: Any) -> ScheduleDecorator:
        """Return a decorator that declares a schedule: `@engine.schedule(cron="0 2 * * *", timezone="Asia/Shanghai")`.

        Above `@engine.task(…)`, or on a plain function, which it registers. More than one may stand above each other,
        each with an `id` of its own (default: the function's name). Takes what `Function.schedule` takes. The store
        gets it when the engine starts; from then on operators may edit it, and no deploy undoes their edits.
        """

        def declare(handler: Any, /) -> Any:
            function = handler if isinstance(handler, Function) else self.task(handler)
            self._declarations.add(function, function.definition(**definition))
            return function

        return declare

    def schedule_handle(self, schedule_id: str) -> ScheduleHandle:
        """Return the handle of a schedule by its id; it is read when it is first asked for something."""
        return ScheduleHandle(schedule_id, self)

    # -- what functions and handles ask of their engine ----------------------------------------------------------

    def declare_schedule(self, function: Function[Any, Any], definition: Mapping[str, Any]) -> ScheduleHandle:
        """Remember a declaration until the engine starts; None of it is stored yet."""
        return ScheduleHandle(self._declarations.add(function, definition).id, self)

    async def create_schedule(
        self, function: Function[Any, Any], definition: Mapping[str, Any], *, replace: bool
    ) -> ScheduleHandle:
        """Store a schedule now; with `replace` over one that stands with another definition."""
        desk = await self.schedule_desk()
        draft = read_schedule({**definition, "name": function.name})
        if replace and draft.id is not None:
            schedule, created = await desk.put(draft)
        else:
            schedule, created = await desk.create(draft)
        return ScheduleHandle(schedule.id, self, schedule, created=created)

    async def schedule_desk(self) -> Schedules:
        """Open the store if need be, store what the code declares, and return the service."""
        if self._schedules is None or not self._brought:
            await self.open()
            await self.declare_schedules()
        return self.schedules

    async def declare_schedules(self, *, redeclare: bool = False) -> Declared:
        """Bring what the code declares into the store, and orphan what it declares no more; see `Declared`.

        With `redeclare` also over declarations of newer code: a rollback that is meant.
        """
        made = self._declarations
        self._brought = True
        if not len(self.functions):
            return Declared()
        return await self.schedules.declare(
            list(made), sources=made.sources, revision=made.revision, redeclare=redeclare
        )

    # -- the rest of the engine ----------------------------------------------------------------------------------

    @abstractmethod
    def task(self, *handlers: Any, **given: Any) -> Any:
        """Register a function."""

    @abstractmethod
    async def open(self) -> None:
        """Open the store, if it is not open yet."""

    @abstractmethod
    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""

    @abstractmethod
    def task_handle(self, task: Task) -> TaskHandle[Any]:
        """Return the handle of a stored task."""
