"""The turnover: hands back what was claimed ahead and does not get its turn, because run times were misjudged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from angelica.runtime.assignment import Assignment
from angelica.runtime.room import Room

INTERVAL: Final = 0.5
"""Seconds in which a line must have moved, or those in it go to other workers."""


class Line(Protocol):
    """Where claimed tasks wait for their turn: at an executor, or before all of them."""

    def first_waiting(self) -> Assignment | None:
        """Return the first that has not begun, None if none waits."""
        ...

    def withdraw(self) -> list[Assignment]:
        """Take back all that wait."""
        ...


class Turnover:
    """Looks every half second at the first of each line: one that is still there has waited in vain.

    Claiming ahead is a guess from the mean run time. After many quick tasks it lets slow ones in, which then wait
    here behind each other while other workers are idle. `lines` are given with what hands back one of theirs.
    """

    def __init__(self, lines: Sequence[tuple[Line, Callable[[Assignment], None]]], room: Room) -> None:
        self._lines = lines
        self._room = room
        self._firsts: list[Assignment | None] = [None] * len(lines)
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
        for n, (line, give_back) in enumerate(self._lines):
            first = line.first_waiting()
            if first is not None and first is self._firsts[n]:
                for assignment in line.withdraw():
                    self._room.misjudged(assignment.code.executor)
                    give_back(assignment)
                first = None
            self._firsts[n] = first
