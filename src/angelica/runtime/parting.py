"""Parting: what a worker waits for and writes last; what the store does not take is left to the lease."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from angelica.clock import Now
from angelica.domain.task import Lease
from angelica.errors import StorageError
from angelica.runtime.completer import Completer
from angelica.runtime.holdings import Holdings
from angelica.runtime.journal import Journal
from angelica.runtime.notes import Notes
from angelica.storage.protocol import Storage

log: Final = logging.getLogger("angelica.worker")


async def until_idle(holdings: Holdings, seconds: float, hasten: asyncio.Event | None) -> None:
    """Wait until nothing is held, at most `seconds`; `hasten` ends the wait."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while holdings and loop.time() < ends_at and (hasten is None or not hasten.is_set()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def store_lines(journal: Journal, storage: Storage) -> frozenset[Lease]:
    """Store the log lines that running attempts have written so far; return the leases that are no longer ours."""
    lines = journal.drain()
    if not lines:
        return frozenset()
    try:
        stale = await storage.append_logs(lines)
    except StorageError:
        journal.give_back(lines)
        raise
    if stale:
        journal.refused(stale)
    return stale


async def write_last(completer: Completer, notes: Notes, seconds: float) -> None:
    """Write the ends and notes that are left, in at most so many seconds."""
    try:
        await asyncio.wait_for(completer.flush(), seconds)
        await notes.stop()
    except (TimeoutError, StorageError):
        log.warning("the store did not take our last ends; their leases will run out")


async def sign_off(storage: Storage, worker: str, *, now: Now) -> None:
    """Take the worker out of the list."""
    try:
        held = await storage.end_worker(worker, now=now)
        if held:
            log.warning("%d task(s) are left to the sweep: the store still has them as ours", held)
    except StorageError as error:
        log.warning("could not sign off, the lease runs out by itself: %s", error)
