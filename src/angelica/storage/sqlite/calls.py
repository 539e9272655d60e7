"""Calls that cross from coroutines to the storage's threads, and their answers on the way back."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from angelica.storage.sqlite.submit import Parcel

C = TypeVar("C")
Answer = tuple[Any, Exception | None]


class Call(Generic[C]):
    """One awaited call: `work` is what the thread does, or a `parcel` is to be stored with those of other calls.

    `done` says that it was answered; the writer's guard covers it.
    """

    __slots__ = ("done", "future", "loop", "parcel", "work")

    def __init__(self, work: Callable[[C], Any] | None, parcel: Parcel | None = None) -> None:
        self.loop: AbstractEventLoop = asyncio.get_running_loop()
        self.future: Future[Any] = self.loop.create_future()
        self.work = work
        self.parcel = parcel
        self.done = False


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
