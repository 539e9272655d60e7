"""The mover: copies a store into another while it is in use, with a short fence around the last part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from angelica.clock import SECOND
from angelica.domain.fence import Fence
from angelica.errors import AngelicaError, StorageUnavailable
from angelica.storage.move.carry import Carrier, Progress
from angelica.storage.move.fences import FenceLost, committed, kept, lifted, raised
from angelica.storage.move.sides import Exporter, Importer
from angelica.storage.move.target import CURSOR, claim_target, finish_target

LEASE: Final = 15 * SECOND
"""A fence ends by itself after this time unless its mover renews it."""
RENEW: Final = 4.0
LOOK: Final = 0.1
QUIET: Final = 3
SLACK: Final = 5.0
"""Seconds beyond the grace time that workers have to hand back what they run."""

Reached = Callable[[str], None]
"""Called with the name of each point of the move that is reached."""


@dataclass(slots=True)
class Moved:
    """What a move has done: rows and checksums by table, running tasks that went with their lease, the pause."""

    rows: Mapping[str, int] = field(default_factory=dict)
    sums: Mapping[str, int] = field(default_factory=dict)
    running: int = 0
    fenced: int = 0
    """Microseconds for which nothing was written."""


class Mover:
    """One move from `source` to `target`, both open. `fresh` names the move if it is a new one.

    `grace` is how many seconds workers get to hand back what they run before the fence is raised.
    """

    def __init__(
        self,
        source: Exporter,
        target: Importer,
        *,
        fresh: str,
        grace: float = 20.0,
        progress: Progress = lambda *_: None,
        reached: Reached = lambda _: None,
    ) -> None:
        self._source = source
        self._target = target
        self._fresh = fresh
        self._grace = grace
        self._reached = reached
        self._carrier = Carrier(source, target, progress)
        self._lost = asyncio.Event()

    async def run(self) -> Moved:
        """Move everything. Until the commit any failure, and being cancelled, leaves the source in work.

        Raises `Conflict` for a target that will not do or another mover, `StoreMoved` if the source has moved.
        """
        claimed = await claim_target(self._source, self._target, self._fresh)
        fence = claimed.fence
        done = Moved()
        if not claimed.committed:
            self._carrier.resume(await self._target.note(CURSOR))
            self._reached("claimed")
            try:
                await self._move(fence, done)
            except BaseException:
                await asyncio.shield(self._give_up(fence))
                raise
        self._reached("committed")
        await finish_target(self._target)
        done.rows, done.sums = self._carrier.rows, self._carrier.sums
        self._reached("finished")
        return done

    async def _move(self, fence: Fence, done: Moved) -> None:
        await self._carrier.copy_ended()
        self._reached("copied")
        await self._source.arm()
        draining = replace(fence, grace=int(self._grace * SECOND))
        await self._source.swap_fence(raised(draining, LEASE))
        async with self._renewed(fence):
            await self._drain()
            self._reached("drained")
            began = (await self._source.now()).tick
            moving = Fence("moving", fence.move, fence.to, fence.source)
            await self._source.swap_fence(raised(moving, LEASE))
            self._reached("fenced")
            await self._carrier.copy_rest()
            done.running = await self._carrier.copy_holders()
            self._reached("rested")
            await self._carrier.verify()
            self._reached("verified")
            if self._lost.is_set():
                raise FenceLost
        await self._source.swap_fence(committed(moving))
        done.fenced = (await self._source.now()).tick - began

    async def _drain(self) -> None:
        """Wait until no task runs, as long as the workers have for that.

        One look is not enough: who has not heard yet that it is to rest may just be claiming.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._grace + SLACK
        quiet = 0
        while self._grace > 0 and quiet < QUIET and loop.time() < ends_at:
            quiet = 0 if await self._source.running() else quiet + 1
            await asyncio.sleep(LOOK)

    @asynccontextmanager
    async def _renewed(self, fence: Fence) -> AsyncIterator[None]:
        """Keep the fence for the length of the block."""
        renewer = asyncio.get_running_loop().create_task(self._renew(fence))
        try:
            yield
        finally:
            renewer.cancel()
            with suppress(asyncio.CancelledError):
                await renewer

    async def _renew(self, fence: Fence) -> None:
        while True:
            await asyncio.sleep(RENEW)
            try:
                await self._source.swap_fence(kept(fence, LEASE))
            except StorageUnavailable:  # it may be back before the fence ends
                continue
            except AngelicaError:
                self._lost.set()
                return

    async def _give_up(self, fence: Fence) -> None:
        """Leave the source in work. What has been copied stays in the target, for the next try."""
        with suppress(AngelicaError):
            await self._source.swap_fence(lifted(fence.move))
            await self._source.disarm()


async def abort(source: Exporter) -> Fence | None:
    """Lift the fence around a store that is being moved, whoever raised it; return what stood."""
    stood = await source.fence()
    await source.swap_fence(lifted(None))
    await source.disarm()
    return stood
