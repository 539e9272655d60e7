"""Parting: what a worker writes last, as far as the store takes it; what it does not take is left to the lease."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from angelica.clock import Now
from angelica.errors import StorageError
from angelica.runtime.completer import Completer
from angelica.runtime.notes import Notes
from angelica.storage.protocol import Storage

log: Final = logging.getLogger("angelica.worker")


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
