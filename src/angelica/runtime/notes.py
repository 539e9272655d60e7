"""Notes: progress and checkpoints of running attempts, the newest of each written in batches."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from angelica.domain.task import Lease
from angelica.runtime.assignment import Assignment
from angelica.runtime.duty import Duty
from angelica.storage.protocol import JournalStore, Note

INTERVAL: Final = 0.25
IDLE: Final = 3_600.0


class Notes:
    """Takes notes from any thread and stores the newest of each attempt within 250 ms."""

    def __init__(
        self,
        storage: JournalStore,
        *,
        chance: Callable[[], float],
        on_stale: Callable[[frozenset[Lease], str], None],
    ) -> None:
        self._storage = storage
        self._on_stale = on_stale
        self._lock = threading.Lock()
        self._pending: dict[Lease, Note] = {}
        self._duty = Duty("notes", self._flush, chance=chance)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._duty.start()

    async def stop(self) -> None:
        """Write what is left and end."""
        await self._duty.stop()
        await self._write()

    def add(self, note: Note) -> None:
        """Keep a note; a newer value replaces an older one that is not stored yet."""
        lease = Lease(note.task_id, note.attempt)
        with self._lock:
            older = self._pending.get(lease)
            first = not self._pending
            if older is not None:
                note = _newest(older, note)
            self._pending[lease] = note
        if first and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, INTERVAL, self._duty.nudge)

    async def _flush(self) -> float:
        await self._write()
        return IDLE

    async def _write(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            stale = await self._storage.annotate(tuple(pending.values()))
        except BaseException:
            with self._lock:
                for lease, note in pending.items():
                    newer = self._pending.get(lease)
                    self._pending[lease] = note if newer is None else _newest(note, newer)
            raise
        if stale:
            self._on_stale(stale, "annotate")

    def take(self, assignment: Assignment) -> Note | None:
        """Take the note of an attempt that has ended, to be written with its end."""
        if not self._pending:  # hardly any attempt leaves one
            return None
        with self._lock:
            return self._pending.pop(assignment.lease, None)


def _newest(older: Note, newer: Note) -> Note:
    """Return the newest of each part."""
    return Note(
        newer.task_id,
        newer.attempt,
        older.checkpoint if newer.checkpoint is None else newer.checkpoint,
        older.progress if newer.progress is None else newer.progress,
    )
