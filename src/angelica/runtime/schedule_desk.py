"""The desk of stored schedules: reads one, changes one, and does it again if it fired or was edited meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from angelica.clock import Now
from angelica.domain.events import ScheduleChanged
from angelica.domain.fire import resume
from angelica.domain.schedule import Phase, Schedule
from angelica.domain.trigger import first_fire_at, is_delay
from angelica.errors import NotFound, StorageUnavailable, VersionConflict
from angelica.runtime.means import Means
from angelica.runtime.scheduler import announce, fire_due
from angelica.storage.protocol import Due, SchedulePut, Storage

TRIES: Final = 20
PASSES: Final = 50
"""Passes over one schedule that is due many times, before an edit moves its next fire."""

Change = Callable[[Schedule, Now], Awaitable[Schedule]]


class ScheduleDesk:
    """Reads and compare-and-set writes of one schedule at a time."""

    def __init__(self, storage: Storage, means: Means) -> None:
        self._storage = storage
        self._means = means

    async def get(self, schedule_id: str) -> Schedule:
        """Return a schedule; raises `NotFound`."""
        found = (await self._storage.get_schedules([schedule_id]))[0]
        if found is None:
            raise NotFound(f"there is no schedule {schedule_id[:200]!r}")
        return found

    async def change(self, schedule_id: str, change: Change, *, version: int | None, what: str) -> Schedule:
        """Write what `change` makes of the schedule as it stands, again if it moved meanwhile; return what stands then.

        What is due is fired first, so that no edit loses it. A `change` that returns its argument writes nothing.
        Raises `NotFound`, and `VersionConflict` if `version` is given and is another.
        """
        for _ in range(TRIES):
            standing = await self.fired(await self.get(schedule_id))
            if version is not None and standing.version != version:
                problem = f"the schedule {schedule_id} has version {standing.version}, not {version}"
                raise VersionConflict(problem, current=standing.version)
            now = self._means.clock.now()
            made = await change(standing, now)
            if made is standing:
                return standing
            if _would_lose_fires(standing, made, now):
                await self._pass(standing, Phase.PAUSED)
                continue
            made = replace(made, updated_at=now.wall)
            put = SchedulePut(made, expect=standing.version, seen=standing)
            status = (await self._storage.put_schedules([put], now=now))[0]
            if status in ("created", "updated", "unchanged"):
                self._means.emit(ScheduleChanged(schedule_id, what))
                return made
        raise StorageUnavailable(f"the schedule {schedule_id} keeps changing; try again")

    async def fired(self, schedule: Schedule) -> Schedule:
        """Return the schedule once nothing of it is due, after firing what was."""
        return await self._pass(schedule, Phase.ACTIVE)

    async def _pass(self, schedule: Schedule, phase: Phase) -> Schedule:
        """Decide what is due of a schedule in this phase; one that is paused gets its reasons recorded, and no run."""
        for _ in range(PASSES):
            now = self._means.clock.now()
            due = schedule.next_fire_at
            if schedule.phase is not phase or due is None or due > now.wall:
                break
            unfinished = await self._storage.unfinished_runs(schedule.id)
            await fire_due(self._storage, [Due(schedule, unfinished)], now=now, means=self._means)
            schedule = await self.get(schedule.id)
        return schedule

    async def resume(self, schedule_id: str, *, catch_up: bool) -> Schedule:
        """Make a paused schedule active, with a reason or a run for each fire since; one that is active stays it."""
        for _ in range(TRIES):
            standing = await self.get(schedule_id)
            if standing.phase not in (Phase.PAUSED, Phase.ORPHANED):
                return standing
            if standing.next_fire_at is None:
                return await self.change(schedule_id, self._awakened, version=None, what="resumed")
            now = self._means.clock.now()
            unfinished = await self._storage.unfinished_runs(schedule_id)
            firing = resume(standing, now=now, unfinished=unfinished, catch_up=catch_up)
            if (await self._storage.fire_many([firing], now=now))[0]:
                announce([firing], now=now, means=self._means)
                self._means.emit(ScheduleChanged(schedule_id, "resumed"))
                return await self.get(schedule_id)
        raise StorageUnavailable(f"the schedule {schedule_id} keeps changing; try again")

    async def _awakened(self, schedule: Schedule, now: Now) -> Schedule:
        """Return a paused schedule without a next fire as active again: a `delay` one, or one that has no fire left."""
        if schedule.phase not in (Phase.PAUSED, Phase.ORPHANED):
            return schedule
        made = replace(schedule, phase=Phase.ACTIVE, phase_reason="", paused_at=None, streak=0)
        if is_delay(schedule) and (await self._storage.unfinished_runs(schedule.id)).count:
            return made
        found = first_fire_at(made, now=now.wall)
        if found is None:
            return replace(made, phase=Phase.COMPLETED)
        return replace(made, next_fire_at=found)


def _would_lose_fires(standing: Schedule, made: Schedule, now: Now) -> bool:
    """Whether an edit moves the next fire of a paused schedule past fires that nobody has recorded yet."""
    due = standing.next_fire_at
    return standing.phase is Phase.PAUSED and due is not None and due <= now.wall and made.next_fire_at != due
