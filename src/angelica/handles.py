"""Handles: what an engine gives for tasks that it has stored, and for the one that runs."""

from __future__ import annotations

from typing import Any, cast

from angelica.current import CURRENT
from angelica.domain.task import Task
from angelica.errors import AngelicaError
from angelica.runtime.assignment import Assignment
from angelica.runtime.context import Context
from angelica.runtime.handle import TaskHandle


class Handles:
    """The part of an `Engine` that is about single tasks."""

    def task_handle(self, task: Task) -> TaskHandle[Any]:
        """Return the handle of a task that has just been read or stored."""
        engine = cast("Any", self)
        return TaskHandle(task, engine.service, engine.call)

    async def ahandle(self, task_id: str) -> TaskHandle[Any]:
        """Return the handle of a task by its id; raises `NotFound`."""
        engine = cast("Any", self)
        await engine.open()
        return TaskHandle(await engine.service.get(task_id), engine.service, engine.call, created=False)

    def handle(self, task_id: str) -> TaskHandle[Any]:
        """Return the handle of a task by its id; raises `NotFound`."""
        handle: TaskHandle[Any] = cast("Any", self).call(self.ahandle(task_id))
        return handle

    def current(self) -> Context:
        """Return the context of the attempt that calls; raises `AngelicaError` outside of one."""
        running = CURRENT.get()
        if not isinstance(running, Assignment):
            raise AngelicaError("there is no current task: engine.current() is for the inside of a handler")
        return cast("Context", running.contexts(running))
