"""Queue depth: refuses submits beyond `max_depth`, judged by counts that are at most a second old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from angelica.clock import SECOND, Clock
from angelica.domain.task import State
from angelica.errors import QueueFull
from angelica.storage.protocol import Reader

_REREAD: Final = SECOND
_WAITING: Final = frozenset({State.WAITING, State.SCHEDULED, State.QUEUED})


class Depth:
    """Counts the tasks that wait in each queue, and those that this process has added since the last look."""

    def __init__(self, reader: Reader, clock: Clock, limit: int) -> None:
        self._reader = reader
        self._clock = clock
        self._limit = limit
        self._depth: Counter[str] = Counter()
        self._read_at: int | None = None

    async def admit(self, queues: Iterable[str]) -> None:
        """Take account of one new task for each queue named; raises `QueueFull` and takes account of none."""
        tick = self._clock.now().tick
        if self._read_at is None or tick - self._read_at >= _REREAD:
            self._read_at = tick
            depth: Counter[str] = Counter()
            for (queue, state), count in (await self._reader.counts()).items():
                if state in _WAITING:
                    depth[queue] += count
            self._depth = depth
        wanted = Counter(queues)
        for queue, count in wanted.items():
            if self._depth[queue] + count > self._limit:
                raise QueueFull(f"the queue {queue} is full: {self._depth[queue]} of {self._limit} tasks wait in it")
        self._depth += wanted
