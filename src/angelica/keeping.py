"""What each process that has a store open keeps an eye on: the store's clock, and whether the store is being moved."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from angelica.clock import SECOND, SystemClock
from angelica.node import Node
from angelica.runtime.duty import Duty
from angelica.runtime.means import Means
from angelica.runtime.movewatch import MoveWatch, OnMove
from angelica.storage.protocol import Storage

TIME_EVERY: Final = 10.0
"""Seconds between looks at the store's clock."""


class Keeping:
    """Runs from `start` to `stop`. `node` returns the worker of this process, if there is one.

    `moved_to` is the new address once the data has been moved elsewhere; then `when_moved` is called, so that whoever
    runs this process ends it, and starts it there.
    """

    def __init__(self, node: Callable[[], Node | None]) -> None:
        self.moved_to: str | None = None
        self.when_moved: Callable[[], None] = lambda: None
        self._node = node
        self._duties: list[Duty] = []
        self._watch: MoveWatch | None = None

    def start(self, storage: Storage, means: Means, *, grace: int) -> None:
        """Begin, on the running event loop, if it has not begun."""
        if self._duties:
            return
        on_move = OnMove(self._rest, self._resume, self._hand_back, self._on_moved)
        self._watch = MoveWatch(storage, wall=means.clock.wall, grace=grace / SECOND, on_move=on_move)
        self._duties = [Duty("move", self._watch.step, chance=means.chance)]
        if isinstance(means.clock, SystemClock):
            step = partial(_keep_time, storage, means.clock)
            self._duties.append(Duty("clock", step, chance=means.chance))
        for duty in self._duties:
            duty.start()

    async def stop(self) -> None:
        """End; what a worker does from now on is its own affair."""
        duties, self._duties = self._duties, []
        for duty in duties:
            await duty.stop()
        if self._watch is not None:
            self._watch.close()

    def _on_moved(self, url: str) -> None:
        self.moved_to = url
        self.when_moved()

    def _rest(self) -> None:
        if (node := self._node()) is not None:
            node.rest()

    def _resume(self) -> None:
        if (node := self._node()) is not None:
            node.resume()

    def _hand_back(self) -> None:
        if (node := self._node()) is not None:
            node.hand_back()


async def _keep_time(storage: Storage, clock: SystemClock) -> float:
    """Agree with the store's clock again and again: ours drifts."""
    clock.follow(await storage.time())
    return TIME_EVERY
