"""Submits that must wait for somebody's open transaction, kept apart: all others go on.

A transaction of a caller's may stay open for hours with a unique key or an id of a client's choice in it. Whether the
same key may be submitted is only known when it ends, so such a submit waits. It must not hold anything meanwhile: the
insert gives up soon (`insert_full`), and is tried again on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from angelica.clock import SECOND, tick_micros
from angelica.domain.task import NewTask
from angelica.storage.postgres.faults import Contended

R = TypeVar("R")
Key = tuple[str, str]

PATIENCE: Final = 10 * SECOND
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 0.5
"""Seconds between two tries."""

REMEMBERED: Final = 5 * SECOND


def contested(tasks: Sequence[NewTask]) -> set[Key]:
    """Return what of tasks somebody else may submit too: unique keys, and ids that were not made by an engine."""
    keys = {(task.function, task.unique.key) for task in tasks if task.unique is not None}
    return keys | {("", task.id) for task in tasks if task.extras.digest is not None}


class Contention:
    """What is known to be contested on one event loop. `patience` is microseconds."""

    def __init__(self, patience: int = PATIENCE) -> None:
        self._patience = patience
        self._turn = asyncio.Lock()
        self._known: dict[Key, int] = {}

    def involves(self, tasks: Sequence[NewTask]) -> bool:
        """Whether tasks have a key that was in somebody's open transaction a moment ago."""
        if not self._known:
            return False
        now = tick_micros()
        self._known = {key: until for key, until in self._known.items() if until > now}
        return not self._known.keys().isdisjoint(contested(tasks))

    async def attempt(self, tasks: Sequence[NewTask], write: Callable[[], Awaitable[R]]) -> R:
        """Write tasks, at once or as soon as no open transaction is in the way; raises `Contended` at the end."""
        if self.involves(tasks):
            return await self.wait_out(tasks, write)
        try:
            return await write()
        except Contended:
            return await self.wait_out(tasks, write)

    async def wait_out(self, tasks: Sequence[NewTask], write: Callable[[], Awaitable[R]]) -> R:
        """Write tasks that were in each other's way; one try at a time, so that they never take all connections."""
        keys = contested(tasks)
        ends_at = tick_micros() + self._patience
        pause = FIRST_PAUSE
        while True:
            async with self._turn:
                try:
                    reply = await write()
                except Contended:
                    self._known.update(dict.fromkeys(keys, tick_micros() + REMEMBERED))
                    if tick_micros() >= ends_at:
                        raise
                else:
                    for key in keys:
                        self._known.pop(key, None)
                    return reply
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
