"""What the memory storage stands on: one lock over its tables, and bells that are rung once it is let go."""

from __future__ import annotations

from threading import Lock
from typing import Final

from angelica.clock import Clock, Now
from angelica.errors import StorageUnavailable
from angelica.storage.bells import Bells
from angelica.storage.memory_book import Book
from angelica.storage.memory_runs import settle_runs
from angelica.storage.memory_table import (
    RANG_CONTROL,
    RANG_DUE,
    RANG_ENDED,
    RANG_READY,
    RANG_SCHEDULES,
    Table,
)
from angelica.storage.protocol import Topic

_BITS: Final = {
    RANG_READY: Topic.READY,
    RANG_ENDED: Topic.ENDED,
    RANG_DUE: Topic.DUE,
    RANG_CONTROL: Topic.CONTROL,
    RANG_SCHEDULES: Topic.SCHEDULES,
}
# What to ring for each sum of bits, looked up once a call.
_TOPICS: Final = [tuple(topic for bit, topic in _BITS.items() if rang & bit) for rang in range(2 * max(_BITS))]


class MemoryCore:
    """Every verb holds the lock while it looks and writes, and rings after it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._table = Table()
        self._book = Book()
        self._bells = Bells()
        self._closed = False

    def mark(self, topic: Topic) -> int:
        return self._bells.mark(topic)

    async def wait(self, topic: Topic, since: int, timeout: float) -> int:
        return await self._bells.wait(topic, since, timeout)

    async def open(self) -> None:
        self._closed = False

    async def close(self) -> None:
        """Refuse writes from now on and let all who wait go; what is stored can still be read."""
        self._closed = True
        for topic in Topic:
            self._bells.ring(topic)

    async def time(self) -> Now:
        return self._clock.now()

    def _open_table(self) -> Table:
        if self._closed:
            message = "the memory storage is closed"
            raise StorageUnavailable(message)
        return self._table

    def _settle(self, now: Now) -> None:
        """Settle the schedules of runs that have ended in this call."""
        if self._table.over:
            settle_runs(self._table, self._book, now=now)

    def _ring(self) -> None:
        """Ring for what the last write did; called after the lock is let go.

        Another thread's write may be rung for here: once is enough, and nobody's ring is lost.
        """
        table = self._table
        if table.rang:
            with self._lock:
                rang, table.rang = table.rang, 0
            for topic in _TOPICS[rang]:
                self._bells.ring(topic)
