"""The scheduler: makes tasks of fires that are due, on every node, and wakes at the next due moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from angelica.clock import MILLISECOND, SECOND, Now
from angelica.domain.events import ScheduleChanged, SchedulesFired, TasksSubmitted
from angelica.domain.fire import fire
from angelica.domain.schedule import Firing, Phase
from angelica.errors import AngelicaError
from angelica.runtime.means import Means
from angelica.runtime.pace import paced
from angelica.storage.protocol import Due, Storage, Topic

log: Final = logging.getLogger("angelica.schedules")

BATCH: Final = 500
TURN: Final = 50
"""Firings that are decided before others on the event loop have their turn: some milliseconds."""
PART: Final = 1_000
"""Runs of one transaction, about: after a long absence each schedule of a batch may have many."""
LOST_PAUSE: Final = 0.02
"""Seconds after a pass in which other nodes were faster with all that was due."""


class Scheduler:
    """The step of a duty; `poll` (seconds) is the net below the wake-ups. There is no leader: each node does this.

    `lag` (microseconds) is how late the earliest fire of the last pass was found, 0 while nothing is due.
    """

    def __init__(self, storage: Storage, *, means: Means, poll: float, batch: int = BATCH) -> None:
        self._storage = storage
        self._means = means
        self._poll = poll
        self._batch = batch
        self.lag = 0

    async def step(self) -> float:
        """Fire what is due, then wait for the next due moment, or for a schedule that is due earlier."""
        storage, clock = self._storage, self._means.clock
        mark = storage.mark(Topic.SCHEDULES)
        found, written = await self.tick()
        if found and not written:
            return LOST_PAUSE
        if found < self._batch:
            following = await storage.next_fire()
            pause = self._poll
            if following is not None:
                pause = min(pause, (following - clock.wall()) / SECOND)
            if pause > 0 or not found:
                await storage.wait(Topic.SCHEDULES, mark, paced(max(pause, MILLISECOND / SECOND)))
        return 0.0

    async def tick(self) -> tuple[int, int]:
        """Make one pass over a batch of due schedules; return how many were due and how many firings were written."""
        now = self._means.clock.now()
        due = await self._storage.due_schedules(now=now, limit=self._batch)
        self.lag = max((now.wall - (each.schedule.next_fire_at or now.wall) for each in due), default=0)
        return len(due), await fire_due(self._storage, due, now=now, means=self._means)


async def fire_due(storage: Storage, due: Sequence[Due], *, now: Now, means: Means) -> int:
    """Decide and write the firings of due schedules; return how many of them the store accepted."""
    written, runs = 0, 0
    part: list[Firing] = []
    for place, each in enumerate(due):
        if place % TURN == TURN - 1:
            await asyncio.sleep(0)  # the loop is the handlers' too: a burst must not hold it for long
        part.append(_decide(each, now))
        runs += len(part[-1].fires)
        if runs >= PART:
            written += await _write(storage, part, now=now, means=means)
            part, runs = [], 0
    return written + (await _write(storage, part, now=now, means=means) if part else 0)


async def _write(storage: Storage, firings: Sequence[Firing], *, now: Now, means: Means) -> int:
    replies = await storage.fire_many(firings, now=now)
    written = [firing for firing, accepted in zip(firings, replies, strict=True) if accepted]
    announce(written, now=now, means=means)
    return len(written)


def announce(firings: Sequence[Firing], *, now: Now, means: Means) -> None:
    """Emit what has become of firings that the store accepted."""
    if not firings:
        return
    means.emit(SchedulesFired(tuple(firings), max(now.wall - min(firing.seen_next for firing in firings), 0)))
    tasks = tuple(each.task for firing in firings for each in firing.fires)
    if tasks:
        means.emit(TasksSubmitted(tasks))
    for firing in firings:
        if firing.phase is Phase.PAUSED and firing.seen_phase is not Phase.PAUSED:
            means.emit(ScheduleChanged(firing.schedule_id, "paused"))


def _decide(due: Due, now: Now) -> Firing:
    schedule = due.schedule
    try:
        return fire(schedule, now=now, unfinished=due.unfinished)
    except (AngelicaError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        # One that cannot be evaluated here (a zone that is gone, say) must not hold up all others at each pass.
        log.exception("schedule %s cannot be evaluated and is paused", schedule.id)
        seen = schedule.next_fire_at or 0
        standing = Firing(
            schedule.id,
            seen,
            schedule.version,
            next_fire_at=schedule.next_fire_at,
            last_fire_at=schedule.last_fire_at,
            runs=schedule.runs,
            phase=Phase.PAUSED,
            seen_phase=schedule.phase,
        )
        return replace(standing, phase_reason=f"cannot be evaluated: {error}"[:500])
