"""The heartbeat: renews a worker's lease from a thread of its own, so that no handler can hold it up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

log: Final = logging.getLogger("angelica.worker")

HURRY: Final = 0.2
LONGEST_HURRY: Final = 1.0
"""Seconds until the next try after a beat that failed: doubled each time, but a lease has few seconds to lose."""


class Heartbeat(threading.Thread):
    """Calls `beat` every `interval` seconds, and when nudged, on an event loop of its own until `stop`."""

    def __init__(self, beat: Callable[[], Awaitable[None]], *, interval: float, chance: Callable[[], float]) -> None:
        super().__init__(name="angelica-heartbeat", daemon=True)
        self.problem: str | None = None
        self._beat = beat
        self._interval = interval
        self._chance = chance
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudged: asyncio.Event | None = None
        self._stopping = False
        self._ready = threading.Event()

    def run(self) -> None:
        """Beat until `stop`."""
        asyncio.run(self._main())

    def nudge(self) -> None:
        """Beat now; any thread."""
        if self._loop is None or self._nudged is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._nudged.set)
        except RuntimeError:  # its loop has just ended
            return

    def stop(self) -> None:
        """End the thread; call `join` to wait for it."""
        self._stopping = True
        if self.is_alive():
            self._ready.wait()
            self.nudge()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._nudged = asyncio.Event()
        self._ready.set()
        failures = 0
        while await self._rest(failures):
            try:
                await asyncio.wait_for(self._beat(), self._interval * 2)
                failures = 0
                self.problem = None
            except Exception as error:  # noqa: BLE001 - the lease must not run out over whatever this was
                failures = min(failures + 1, 8)
                self.problem = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else repr(error))
                log.warning("heartbeat failed (%d in a row): %s", failures, self.problem)

    async def _rest(self, failures: int) -> bool:
        """Wait for the next beat, shorter after one that failed; return whether there is to be one."""
        pause = self._interval * (0.9 + 0.2 * self._chance())
        if failures:
            pause = min(pause, HURRY * 2**failures, LONGEST_HURRY)
        if self._nudged is not None and not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), pause)
                self._nudged.clear()
        return not self._stopping
