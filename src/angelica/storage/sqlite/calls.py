"""Calls that cross from coroutines to the storage's threads, and their answers on the way back."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from angelica.domain.task import NewTask
from angelica.storage.sqlite.parcel import Parcel

C = TypeVar("C")
Answer = tuple[Any, Exception | None]


Work = Callable[[C], Coroutine[Any, Any, Any]]


class Call(Generic[C]):
    """One awaited call: `work` is what the thread does.

    `done` says that it was answered; the writer's guard covers it.
    """

    __slots__ = ("done", "future", "loop", "work")

    def __init__(self, work: Work[C] | None, loop: AbstractEventLoop | None = None) -> None:
        self.loop: AbstractEventLoop = loop or asyncio.get_running_loop()
        self.future: Future[Any] = self.loop.create_future()
        self.work = work
        self.done = False


class Submit(Call[Any]):
    """One call that stores tasks; `parcel` holds its rows and those of the other calls of its turn."""

    __slots__ = ("parcel", "tasks", "wall")

    def __init__(self, tasks: Sequence[NewTask], wall: int, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.future = loop.create_future()
        self.work = None
        self.done = False
        self.tasks = tasks
        self.wall = wall
        self.parcel: Parcel | None = None


class Turn:
    """The submits of one turn of an event loop: rows made at once, and one trip to the writer.

    500 callers that wake together would otherwise be 500 parcels, 500 locks and many small commits.
    """

    __slots__ = ("calls", "loop", "tasks")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: list[Submit] = []
        self.tasks = 0

    def add(self, tasks: Sequence[NewTask], wall: int) -> Future[Any]:
        """Take one more call."""
        call = Submit(tasks, wall, self.loop)
        self.calls.append(call)
        self.tasks += len(tasks)
        return call.future

    def pack(self) -> list[Submit]:
        """Make the rows; return the calls that have them. One whose tasks cannot be rows is answered here."""
        try:
            parcel = Parcel([(call.tasks, call.wall) for call in self.calls])
        except Exception:  # noqa: BLE001 - one caller's text that is no Unicode is not the others' fault
            return self._pack_each()
        for call in self.calls:
            call.parcel = parcel
        return self.calls

    def _pack_each(self) -> list[Submit]:
        sound = []
        for call in self.calls:
            try:
                call.parcel = Parcel([(call.tasks, call.wall)])
            except Exception as error:  # noqa: BLE001 - it belongs to its caller
                if not call.future.done():
                    call.future.set_exception(error)
            else:
                sound.append(call)
        return sound


def deliver(answers: Iterable[tuple[Call[C], Answer]]) -> None:
    """Answer calls of any loops: one trip to each loop, however many calls."""
    by_loop: dict[AbstractEventLoop, list[tuple[Future[Any], Answer]]] = {}
    for call, answer in answers:
        by_loop.setdefault(call.loop, []).append((call.future, answer))
    for loop, batch in by_loop.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, batch)


def _settle(batch: Sequence[tuple[Future[Any], Answer]]) -> None:
    for future, (value, error) in batch:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
