"""The turnover: hands back what was claimed ahead and does not get its turn, because run times were misjudged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from angelica.runtime.assignment import Assignment
from angelica.runtime.executors.base import Executor
from angelica.runtime.room import Room

INTERVAL: Final = 0.5
"""Seconds in which an executor with a backlog must have begun something, or its backlog goes to other workers."""


class Turnover:
    """Looks every half second at the first in each executor's line: one that is still there has waited in vain.

    Claiming ahead is a guess from the mean run time. After many quick tasks it lets slow ones in, which then wait
    here behind each other while other workers are idle.
    """

    def __init__(self, executors: Sequence[Executor], room: Room, give_back: Callable[[Assignment], None]) -> None:
        self._executors = executors
        self._room = room
        self._give_back = give_back
        self._first: dict[str, Assignment | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.start()
        for executor in self._executors:
            first = executor.first_waiting()
            if first is not None and first is self._first.get(executor.kind):
                self._room.misjudged(executor.kind)
                for assignment in executor.withdraw():
                    self._give_back(assignment)
                first = None
            self._first[executor.kind] = first
