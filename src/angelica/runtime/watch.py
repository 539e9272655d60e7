"""The watch: one timer that tells handlers past their time to stop, for all attempts of a worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Final

from angelica.clock import MILLISECOND, SECOND
from angelica.runtime.assignment import Assignment

NEVER: Final = 1 << 62
AGAIN: Final = SECOND
"""How often a handler that does not stop is told again (a coroutine may have swallowed the first)."""


class Watch:
    """Keeps only the earliest end among running attempts; the rest is looked through when that moment comes.

    A timer (or a heap entry) for each attempt would cost more than a short attempt itself.
    """

    def __init__(self, running: Callable[[], Iterable[Assignment]], *, wall: Callable[[], int]) -> None:
        self.next = NEVER
        self._running = running
        self._wall = wall
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Use the running event loop."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()

    def look_at(self, moment: int) -> None:
        """Look again at `moment` (wall microseconds), if nothing is due earlier; any thread."""
        with self._lock:  # threads and the loop may all have found theirs to be the earliest
            loop = self._loop
            if moment >= self.next or loop is None:
                return
            self.next = moment
        loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        if self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.next < NEVER:
            wait = max(self.next - self._wall(), MILLISECOND) / SECOND
            self._timer = self._loop.call_later(wait, self._look)

    def _look(self) -> None:
        now = self._wall()
        upcoming = NEVER
        with self._lock:  # what begins while we look is not among those we look at, and says so itself
            self.next = NEVER
        for assignment in self._running():
            ends_by = assignment.ends_by
            if ends_by is None:  # not begun, or ended and waiting to be written
                continue
            if ends_by <= now:
                assignment.stop("timeout")
                upcoming = min(upcoming, now + AGAIN)
            else:
                upcoming = min(upcoming, ends_by)
        with self._lock:
            self.next = min(self.next, upcoming)
        self._arm()
