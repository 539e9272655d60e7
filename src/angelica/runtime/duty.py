"""A duty: one periodic loop of the engine, supervised so that a failing step is seen and never ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from angelica.ending import end
from angelica.errors import StorageUnavailable
from angelica.runtime.pace import paced

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
        self._nudged = False
        self._alarm: asyncio.Future[None] | None = None
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop().create_task(self._run(), name=f"angelica-{self.name}")

    def nudge(self) -> None:
        """Run the step as soon as possible."""
        self._nudged = True
        _ring(self._alarm)

    async def stop(self) -> None:
        """End the loop and wait for it."""
        loop, self._loop = self._loop, None
        await end(loop)

    async def _run(self) -> None:
        failures = 0
        while True:
            self._nudged = False
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
            if pause > 0 and not self._nudged:
                await self._rest(paced(pause))
            else:
                await asyncio.sleep(0)

    async def _rest(self, pause: float) -> None:
        # By hand: `wait_for` makes a task, and turns the loop four times for each pause of each duty.
        loop = asyncio.get_running_loop()
        self._alarm = loop.create_future()
        timer = loop.call_later(pause, _ring, self._alarm)
        try:
            await self._alarm
        finally:
            timer.cancel()
            self._alarm = None

    def _report(self, error: Exception, failures: int) -> None:
        self.problem = f"{type(error).__name__}: {error}"
        if isinstance(error, StorageUnavailable):
            if failures == 1:
                log.warning("%s: %s; trying again", self.name, error)
        else:
            log.error("%s failed (%d in a row)", self.name, failures, exc_info=error)


def _ring(alarm: asyncio.Future[None] | None) -> None:
    if alarm is not None and not alarm.done():
        alarm.set_result(None)
