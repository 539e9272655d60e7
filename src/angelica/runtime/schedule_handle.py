"""The handle of a schedule: a schedule in the hand of the code that declared, made or found it."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from angelica.domain.cron.zones import EPOCH
from angelica.domain.schedule import Phase, Schedule
from angelica.domain.task import Task
from angelica.runtime.definition import definition_of
from angelica.runtime.handle import TaskHandle

T = TypeVar("T")


class Desk(Protocol):
    """What a handle asks of the service of schedules."""

    async def get(self, schedule_id: str) -> Schedule: ...
    async def pause(self, schedule_id: str, reason: str = "") -> Schedule: ...
    async def resume(self, schedule_id: str, *, catch_up: bool = False) -> Schedule: ...
    async def patch(self, schedule_id: str, changes: Mapping[str, Any]) -> Schedule: ...
    async def reset(self, schedule_id: str, field: str | None = None) -> Schedule: ...
    async def trigger(self, schedule_id: str, overrides: Mapping[str, Any] | None = None) -> Task: ...
    async def next(self, schedule_id: str, count: int = 10) -> tuple[int, ...]: ...
    async def delete(self, schedule_id: str, *, cancel_running: bool = False) -> None: ...


class ScheduleHost(Protocol):
    """What a handle needs of an engine."""

    async def schedule_desk(self) -> Desk:
        """Open the store if need be, store what the code declares, and return the service."""
        ...

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end from synchronous code."""
        ...

    def task_handle(self, task: Task) -> TaskHandle[Any]:
        """Return the handle of a stored task."""
        ...


class ScheduleHandle:
    """One schedule. Methods come in pairs: plain ones block, those with `a` in front are awaited.

    What it shows is as of the last call that asked the store; `refresh` asks again. The handle of a declaration has
    asked nothing yet. All raise `NotFound` once the schedule is deleted.
    """

    __slots__ = ("_host", "_id", "_schedule", "created")

    def __init__(
        self, schedule_id: str, host: ScheduleHost, schedule: Schedule | None = None, *, created: bool = False
    ) -> None:
        self.created = created
        self._id = schedule_id
        self._host = host
        self._schedule = schedule

    @property
    def id(self) -> str:
        """The schedule's id."""
        return self._id

    @property
    def schedule(self) -> Schedule:
        """The schedule as last read; it is read now if it was not yet."""
        return self._schedule if self._schedule is not None else self.refresh().schedule

    @property
    def phase(self) -> Phase:
        """`active`, `paused`, `orphaned` or `completed`, as last read."""
        return self.schedule.phase

    @property
    def next_fire(self) -> datetime | None:
        """When it fires next (UTC), as last read; None where nothing is due."""
        moment = self.schedule.next_fire_at
        return None if moment is None else _datetime(moment)

    @property
    def definition(self) -> dict[str, Any]:
        """The definition in force, with the fields of a request, as last read."""
        return definition_of(self.schedule)

    async def arefresh(self) -> ScheduleHandle:
        """Read the schedule again."""
        self._schedule = await (await self._host.schedule_desk()).get(self._id)
        return self

    def refresh(self) -> ScheduleHandle:
        """Read the schedule again."""
        return self._host.call(self.arefresh())

    async def apause(self, reason: str = "") -> ScheduleHandle:
        """Stop firing until `resume`; running runs go on."""
        self._schedule = await (await self._host.schedule_desk()).pause(self._id, reason)
        return self

    def pause(self, reason: str = "") -> ScheduleHandle:
        """Stop firing until `resume`; running runs go on."""
        return self._host.call(self.apause(reason))

    async def aresume(self, *, catch_up: bool = False) -> ScheduleHandle:
        """Fire again; with `catch_up` what fell due meanwhile counts as missed and is caught up with."""
        self._schedule = await (await self._host.schedule_desk()).resume(self._id, catch_up=catch_up)
        return self

    def resume(self, *, catch_up: bool = False) -> ScheduleHandle:
        """Fire again; with `catch_up` what fell due meanwhile counts as missed and is caught up with."""
        return self._host.call(self.aresume(catch_up=catch_up))

    async def aedit(self, **changes: Any) -> ScheduleHandle:
        """Change fields: `edit(cron="0 3 * * *")`, `edit(task={"queue": "slow"})`; None goes back to the default."""
        self._schedule = await (await self._host.schedule_desk()).patch(self._id, wire(changes))
        return self

    def edit(self, **changes: Any) -> ScheduleHandle:
        """Change fields: `edit(cron="0 3 * * *")`, `edit(task={"queue": "slow"})`; None goes back to the default."""
        return self._host.call(self.aedit(**changes))

    async def areset(self, field: str | None = None) -> ScheduleHandle:
        """Take back what operators edited of a declared schedule: one field, or all."""
        self._schedule = await (await self._host.schedule_desk()).reset(self._id, field)
        return self

    def reset(self, field: str | None = None) -> ScheduleHandle:
        """Take back what operators edited of a declared schedule: one field, or all."""
        return self._host.call(self.areset(field))

    async def atrigger(self, **overrides: Any) -> TaskHandle[Any]:
        """Run it once now, also while paused; `overrides` are fields of a task (`kwargs={…}`, `queue=…`)."""
        task = await (await self._host.schedule_desk()).trigger(self._id, overrides)
        return self._host.task_handle(task)

    def trigger(self, **overrides: Any) -> TaskHandle[Any]:
        """Run it once now, also while paused; `overrides` are fields of a task (`kwargs={…}`, `queue=…`)."""
        return self._host.call(self.atrigger(**overrides))

    async def anext(self, count: int = 10) -> list[datetime]:
        """Return the next fires (UTC)."""
        return [_datetime(moment) for moment in await (await self._host.schedule_desk()).next(self._id, count)]

    def next(self, count: int = 10) -> list[datetime]:
        """Return the next fires (UTC)."""
        return self._host.call(self.anext(count))

    async def adelete(self, *, cancel_running: bool = False) -> None:
        """Delete it; its runs go on unless they are to be cancelled. A declared one stays deleted."""
        await (await self._host.schedule_desk()).delete(self._id, cancel_running=cancel_running)

    def delete(self, *, cancel_running: bool = False) -> None:
        """Delete it; its runs go on unless they are to be cancelled. A declared one stays deleted."""
        self._host.call(self.adelete(cancel_running=cancel_running))

    def __repr__(self) -> str:
        phase = "declared" if self._schedule is None else self._schedule.phase
        return f"<ScheduleHandle {self._id} {phase}>"


def wire(given: dict[str, Any]) -> dict[str, Any]:
    """Return Python's spelling of changes as a request has them."""
    return {"in" if key == "in_" else key: value for key, value in given.items()}


def _datetime(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
