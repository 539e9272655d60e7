"""The watch over the store itself: is it being moved, and has it gone elsewhere?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from angelica.clock import SECOND
from angelica.runtime.pace import paced
from angelica.storage.protocol import Storage, Topic

log: Final = logging.getLogger("angelica.engine")

LOOK_EVERY: Final = 2.0
"""Seconds between looks where no ring says that there is something to see."""
GONE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class OnMove:
    """What a process does: claims no more (`rest`), goes on (`resume`), hands back what runs, or ends (`moved`)."""

    rest: Callable[[], None]
    resume: Callable[[], None]
    hand_back: Callable[[], None]
    moved: Callable[[str], None]


class MoveWatch:
    """The step of a duty.

    From the beginning of a move handlers get the grace time that the mover gives, and no more than `grace` seconds.
    """

    def __init__(self, storage: Storage, *, wall: Callable[[], int], grace: float, on_move: OnMove) -> None:
        self._storage = storage
        self._wall = wall
        self._grace = grace
        self._on_move = on_move
        self._resting = False
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    async def step(self) -> float:
        """Look, act on what has changed, and wait for a ring."""
        if self._gone:
            return GONE
        mark = self._storage.mark(Topic.CONTROL)
        fence = await self._storage.fence()
        if fence is not None and fence.state == "moved":
            self._gone = True
            self._begin_rest(0)
            log.error("the data has moved to %s: this process can do nothing more for it", fence.to)
            self._on_move.moved(fence.to)
        elif fence is not None and fence.state in ("draining", "moving") and fence.holds(self._wall()):
            if not self._resting:
                log.warning("the data is being moved to %s: claiming no more until that has ended", fence.to)
            self._begin_rest(fence.grace)
        elif self._resting:
            self._end_rest()
            log.warning("the move was given up: going on")
        await self._storage.wait(Topic.CONTROL, mark, paced(LOOK_EVERY))
        return 0.0

    def close(self) -> None:
        """Let nothing happen any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin_rest(self, grace: int) -> None:
        if not self._resting:
            self._resting = True
            self._on_move.rest()
            seconds = min(self._grace, grace / SECOND)
            self._timer = asyncio.get_running_loop().call_later(seconds, self._on_move.hand_back)

    def _end_rest(self) -> None:
        self._resting = False
        self.close()
        self._on_move.resume()
