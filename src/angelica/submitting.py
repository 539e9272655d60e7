"""Submitting: what an engine itself offers of tasks in Python, beside its functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

from angelica.current import CURRENT
from angelica.domain.task import Task
from angelica.errors import AngelicaError, InvalidArguments
from angelica.runtime.assignment import Assignment
from angelica.runtime.context import Context
from angelica.runtime.functions import CallOf, Function, read_call
from angelica.runtime.handle import TaskHandle
from angelica.runtime.own import Own, read_own
from angelica.runtime.service import Service
from angelica.submitter import Submitter

T = TypeVar("T")
Pair = tuple[Function[Any, Any], tuple[Any, ...] | Mapping[str, Any]]


class Submitting(ABC):
    """The part of an `Engine` that is about tasks."""

    submitter: Submitter

    @property
    @abstractmethod
    def service(self) -> Service:
        """What all surfaces ask for tasks."""

    @abstractmethod
    async def open(self) -> None:
        """Open the store, if it is not open yet."""

    @abstractmethod
    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""

    def enqueue_many(
        self, calls: Iterable[Pair], *, connection: Any = None, notify: bool = True
    ) -> list[TaskHandle[Any]]:
        """Submit calls of any functions in one transaction, all or none, and return their handles; blocks.

        A call is a pair: the function, with or without `using`, and a tuple of positional arguments or a mapping of
        named ones. With `connection` they are stored in the transaction that is open on it, as by
        `function.using(connection=…)`. Raises why the first was refused.
        """
        made, own = _read(calls, connection, notify=notify)
        if own is not None:
            return self.submitter.submit_inside(made, own)
        return self.call(self.submitter.submit_all(made))

    async def aenqueue_many(
        self, calls: Iterable[Pair], *, connection: Any = None, notify: bool = True
    ) -> list[TaskHandle[Any]]:
        """Submit calls of any functions in one transaction, all or none; as `enqueue_many`."""
        made, own = _read(calls, connection, notify=notify)
        if own is not None:
            return await self.submitter.asubmit_inside(made, own)
        return await self.submitter.submit_all(made)

    def task_handle(self, task: Task) -> TaskHandle[Any]:
        """Return the handle of a task that has just been read or stored."""
        return TaskHandle(task, self.service, self.call)

    async def ahandle(self, task_id: str) -> TaskHandle[Any]:
        """Return the handle of a task by its id; raises `NotFound`."""
        await self.open()
        return TaskHandle(await self.service.get(task_id), self.service, self.call, created=False)

    def handle(self, task_id: str) -> TaskHandle[Any]:
        """Return the handle of a task by its id; raises `NotFound`."""
        return self.call(self.ahandle(task_id))

    def current(self) -> Context:
        """Return the context of the attempt that calls; raises `AngelicaError` outside of one."""
        running = CURRENT.get()
        if not isinstance(running, Assignment):
            raise AngelicaError("there is no current task: engine.current() is for the inside of a handler")
        return cast("Context", running.contexts(running))


def _read(calls: Iterable[object], connection: Any, *, notify: bool) -> tuple[list[CallOf], Own | None]:
    given: dict[str, Any] = {"connection": connection}
    own = read_own(given if notify is True else {**given, "notify": notify})
    made: list[CallOf] = []
    for place, pair in enumerate(calls):
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Function)):  # noqa: PLR2004 - a pair
            raise InvalidArguments(f"/{place}", "must be a pair of a function and its arguments", hint="(send, (x,))")
        function, arguments = pair
        if function.own is not None:
            raise InvalidArguments(f"/{place}", "brings a connection of its own", hint="enqueue_many(…, connection=…)")
        made.append((function, read_call(place, arguments)))
    return made, own
