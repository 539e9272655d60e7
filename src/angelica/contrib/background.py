"""Background tasks: a drop-in for FastAPI's and Starlette's `BackgroundTasks` whose tasks are durable and retried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import cache
from inspect import signature
from typing import Annotated, Any, Protocol, runtime_checkable

from starlette.exceptions import HTTPException

from angelica.errors import AngelicaError
from angelica.http.problems import problem_of


@runtime_checkable
class Enqueues(Protocol):
    """A registered function: what `@engine.task` returns."""

    @property
    def name(self) -> str: ...

    def aenqueue(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Submit it."""
        ...


class NotRegistered(AngelicaError, TypeError):
    """A plain function was given where a registered one is needed."""

    code = "not-registered"


class DurableTasks:
    """Collects calls of registered functions, and submits them when the endpoint has returned.

    In FastAPI take it as `angelica.BackgroundTasks`: the tasks are on disk before the client sees the answer, an
    endpoint that raises submits nothing, and a submit that is refused becomes the answer. In Starlette give it to a
    response as `background=`: the tasks are submitted after the answer was sent.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Enqueues, tuple[Any, ...], dict[str, Any]]] = []

    def add_task(self, func: Any, /, *args: Any, **kwargs: Any) -> None:
        """Submit `func(*args, **kwargs)` once the endpoint has returned; `func` must be made by `@engine.task`."""
        if not isinstance(func, Enqueues):
            name = getattr(func, "__qualname__", repr(func))
            raise NotRegistered(
                f"{name} is not a registered function, so it cannot become a durable task: put @engine.task on it "
                "(or use FastAPI's own BackgroundTasks for what may be lost)"
            )
        self.calls.append((func, args, kwargs))

    async def submit(self) -> list[Any]:
        """Submit what was collected, all at once; return the tasks. Raises the first refusal."""
        calls, self.calls = self.calls, []
        if len(calls) == 1:
            func, args, kwargs = calls[0]
            return [await func.aenqueue(*args, **kwargs)]
        return await asyncio.gather(*(func.aenqueue(*args, **kwargs) for func, args, kwargs in calls))

    async def __call__(self) -> None:
        """Submit; this is how Starlette runs what a response carries as `background`."""
        await self.submit()


async def durable_tasks() -> AsyncIterator[DurableTasks]:
    """The dependency: submits after the endpoint has returned, unless it has raised."""
    tasks = DurableTasks()
    yield tasks
    try:
        await tasks.submit()
    except AngelicaError as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise HTTPException(problem.status, problem.detail or problem.slug, dict(problem.headers)) from error


@cache
def annotated() -> Any:
    """Return `Annotated[DurableTasks, Depends(…)]`: FastAPI would put its own class in place of a bare one."""
    from fastapi import Depends

    # From FastAPI 0.118 on a dependency ends after the answer was sent, unless its scope is the function.
    if "scope" in signature(Depends).parameters:
        return Annotated[DurableTasks, Depends(durable_tasks, scope="function")]
    return Annotated[DurableTasks, Depends(durable_tasks)]


def __getattr__(name: str) -> Any:
    if name == "BackgroundTasks":
        return annotated()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
