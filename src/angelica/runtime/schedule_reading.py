"""Looking at schedules: what stands, what has fired, what will; nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any, Final

from angelica.clock import DAY, HOUR
from angelica.domain.schedule import FireRecord, Phase, Schedule
from angelica.domain.trigger import upcoming_fires
from angelica.errors import InvalidValue
from angelica.runtime import forecast
from angelica.runtime.forecast import Calendar, Preview, Rehearsal
from angelica.runtime.means import Means
from angelica.runtime.run_maker import RunMaker
from angelica.runtime.schedule_desk import ScheduleDesk
from angelica.runtime.schedule_drafts import ScheduleDraft
from angelica.storage.protocol import ScheduleFilter, SchedulePage, Storage

MAX_NEXT: Final = 1_000
IN_CALENDAR: Final = 2_000
"""Schedules that a calendar counts, those of the earliest ids; more would take seconds."""

FIRES_OF_EACH: Final = 2_000
LONGEST_CALENDAR: Final = 366 * DAY
EVERYTHING: Final = ScheduleFilter()
_SAMPLE: Final = 50


class ScheduleReading:
    """What reads of `Schedules`. Whatever takes an id raises `NotFound` if no such schedule stands."""

    def __init__(self, storage: Storage, *, means: Means, desk: ScheduleDesk, maker: RunMaker) -> None:
        self._storage = storage
        self._means = means
        self._desk = desk
        self._maker = maker

    async def get(self, schedule_id: str) -> Schedule:
        """Return a schedule."""
        return await self._desk.get(schedule_id)

    async def list(
        self, where: ScheduleFilter = EVERYTHING, *, limit: int = 50, after: str | None = None
    ) -> SchedulePage:
        """Return one page of schedules in order of id."""
        return await self._storage.list_schedules(where, limit=limit, after=after)

    async def fires(self, schedule_id: str, *, before: int | None = None, limit: int = 100) -> tuple[FireRecord, ...]:
        """Return the history, the newest first: a run, or a span of fires with the reason why they did not run."""
        await self._desk.get(schedule_id)
        return await self._storage.read_fires(schedule_id, before=before, limit=limit)

    async def next(self, schedule_id: str, count: int = 10, after: int | None = None) -> tuple[int, ...]:
        """Return the next fires after a moment (default: now); of a paused schedule those that it would have."""
        if not 0 < count <= MAX_NEXT:
            raise InvalidValue("/count", f"must be from 1 to {MAX_NEXT}", rule="too_large", max=MAX_NEXT)
        schedule = await self._desk.get(schedule_id)
        moment = self._means.clock.wall() if after is None else after
        return tuple(upcoming_fires(schedule, after=moment, count=count))

    async def lag(self) -> int:
        """Return how long the earliest fire that is due has been waiting, 0 if none is: one look at an index."""
        first = await self._storage.next_fire()
        return 0 if first is None else max(self._means.clock.wall() - first, 0)

    async def preview(self, given: Mapping[str, Any]) -> Preview:
        """Return when a definition fires and what it means; it may lack a name. `count` says how many fires."""
        return forecast.preview(given, self._means.clock.wall())

    async def rehearse(self, draft: ScheduleDraft, *, past: int = 7 * DAY, future: int = 7 * DAY) -> Rehearsal:
        """Return when a definition would have fired and will fire, beside how long its function's runs take."""
        wall = self._means.clock.wall()
        run = await self._maker.run_of(draft, wall)
        schedule = forecast.provisional(draft, wall, run)
        typical = await self._typical_run(run.function)
        return forecast.rehearse(schedule, wall=wall, past=past, future=future, typical_run=typical)

    async def _typical_run(self, function: str) -> int | None:
        attempts = await self._storage.recent_attempts(function, limit=_SAMPLE)
        won = [each for each in attempts if each.outcome == "succeeded"]
        times = [each.finished_at - each.started_at for each in won if each.started_at is not None]
        return int(median(times)) if times else None

    async def calendar(self, start: int, end: int, *, step: int = HOUR) -> Calendar:
        """Count the fires to come in [start, end) by `step`, over the active schedules."""
        if not start < end <= start + LONGEST_CALENDAR:
            raise InvalidValue("/to", "must be after from, by a year at most")
        found: list[Schedule] = []
        after: str | None = None
        while len(found) < IN_CALENDAR:
            where = ScheduleFilter(phases=frozenset({Phase.ACTIVE}))
            page = await self._storage.list_schedules(where, limit=500, after=after)
            found += page.items
            after = page.next
            if after is None:
                break
        made = forecast.calendar(found, start, end, step=step, limit=FIRES_OF_EACH)
        return replace(made, truncated=made.truncated or after is not None)
