"""A duty: one periodic loop of the engine, supervised so that a failing step is seen and never ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from angelica.ending import end
from angelica.errors import StorageUnavailable

log: Final = logging.getLogger("angelica.engine")

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0


class Duty:
    """Runs `step` for ever; `step` returns the seconds until it wants to run again, and `nudge` calls it sooner.

    A step that raises is logged and tried again with growing pauses (0.2 s to 5 s, jittered by `chance`).
    `problem` says what is wrong now, None while all is well; `/health` shows it.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[float]], *, chance: Callable[[], float]) -> None:
        self.name = name
        self.problem: str | None = None
        self._step = step
        self._chance = chance
        self._nudged = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop().create_task(self._run(), name=f"angelica-{self.name}")

    def nudge(self) -> None:
        """Run the step as soon as possible."""
        self._nudged.set()

    async def stop(self) -> None:
        """End the loop and wait for it."""
        loop, self._loop = self._loop, None
        await end(loop)

    async def _run(self) -> None:
        failures = 0
        while True:
            self._nudged.clear()
            try:
                pause = await self._step()
            except Exception as error:  # noqa: BLE001 - a loop of the engine outlives whatever its step meets
                failures += 1
                self._report(error, failures)
                pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE) * (0.5 + self._chance())
                await asyncio.sleep(pause)
                continue
            failures = 0
            self.problem = None
            try:
                await asyncio.wait_for(self._nudged.wait(), pause)
            except TimeoutError:
                continue

    def _report(self, error: Exception, failures: int) -> None:
        self.problem = f"{type(error).__name__}: {error}"
        if isinstance(error, StorageUnavailable):
            if failures == 1:
                log.warning("%s: %s; trying again", self.name, error)
        else:
            log.error("%s failed (%d in a row)", self.name, failures, exc_info=error)
