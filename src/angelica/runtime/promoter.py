"""The promoter: moves tasks that are due into the line, on every node, and wakes at the next due moment."""

from __future__ import annotations

from typing import Final

from angelica.clock import MILLISECOND, SECOND, Clock
from angelica.runtime.pace import paced
from angelica.storage.protocol import Storage, Topic

BATCH: Final = 1_000


class Promoter:
    """The step of a duty; `poll` (seconds) is the net below the wake-ups."""

    def __init__(self, storage: Storage, *, clock: Clock, poll: float) -> None:
        self._storage = storage
        self._clock = clock
        self._poll = poll

    async def step(self) -> float:
        """Promote what is due, then wait for the next due moment, or for a task that is due earlier."""
        mark = self._storage.mark(Topic.DUE)
        promoted = await self._storage.promote_due(now=self._clock.now(), limit=BATCH)
        if promoted.count < BATCH:
            pause = self._poll
            if promoted.next_due is not None:
                pause = min(pause, max(promoted.next_due - self._clock.wall(), MILLISECOND) / SECOND)
            await self._storage.wait(Topic.DUE, mark, paced(pause))
        return 0.0
