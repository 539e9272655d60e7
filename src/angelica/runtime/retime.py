"""Retiming: after new zone data, every schedule that was timed by other data gets its next fire computed again."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from angelica.clock import Now
from angelica.domain.schedule import Phase, Schedule
from angelica.domain.trigger import next_fire_after
from angelica.errors import AngelicaError, NotFound, StorageError
from angelica.runtime.means import Means
from angelica.runtime.schedule_desk import ScheduleDesk
from angelica.storage.protocol import ScheduleFilter, Storage

log: Final = logging.getLogger("angelica.scheduler")

PAGE: Final = 200
EVERY: Final = 6 * 3_600.0


class Retimer:
    """The step of a duty: at the start of a node, and every six hours.

    `edition` is the zone data of this process. A schedule keeps the edition that its next fire was computed by; what
    is due is decided first, so that no fire is lost, and nothing that has fired fires again.
    """

    def __init__(self, storage: Storage, *, means: Means, edition: str) -> None:
        self._storage = storage
        self._desk = ScheduleDesk(storage, means)
        self._edition = edition

    async def step(self) -> float:
        """Retime all that need it, in pages."""
        after: str | None = None
        count = 0
        while True:
            where = ScheduleFilter(timed_by_other=self._edition)
            page = await self._storage.list_schedules(where, limit=PAGE, after=after)
            for schedule in page.items:
                count += await self._retime(schedule.id)
            after = page.next
            if after is None:
                break
        if count:
            log.info("%d schedule(s) timed again by zone data %s", count, self._edition)
        return EVERY

    async def _retime(self, schedule_id: str) -> bool:
        try:
            await self._desk.change(schedule_id, self._again, version=None, what="retimed")
        except NotFound:
            return False
        except StorageError:
            raise
        except AngelicaError as error:  # a zone that has gone, say: the tick pauses it with the reason
            log.warning("schedule %s cannot be timed again: %s", schedule_id, error)
            return False
        return True

    async def _again(self, schedule: Schedule, now: Now) -> Schedule:
        made = replace(schedule, tz_version=self._edition)
        if schedule.next_fire_at is None:
            return made
        last = schedule.last_fire_at
        moment = now.wall if last is None else max(now.wall, last)
        found = next_fire_after(made, moment)
        if found is None:
            return replace(made, next_fire_at=None, phase=Phase.COMPLETED, phase_reason="last_fire")
        return replace(made, next_fire_at=found)
