"""Schedules: what HTTP, the CLI and the Python surface ask for about them, as coroutines over the storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from angelica import strict_json
from angelica.clock import Now
from angelica.domain.events import ScheduleChanged, TasksCancelled
from angelica.domain.ids import uuid7
from angelica.domain.reasons import CANCELLED
from angelica.domain.schedule import Phase, Schedule
from angelica.domain.task import State, Task
from angelica.errors import InvalidValue, NotFound, ScheduleConflict, ShuttingDown, VersionConflict
from angelica.runtime.catalogue import Catalogue
from angelica.runtime.definition import (
    absolute,
    declared_form,
    definition_of,
    effective,
    new_schedule,
    override_after,
    override_form,
    patched,
    plain,
    redefined,
    without,
)
from angelica.runtime.means import Means
from angelica.runtime.operations import Operation, Operations
from angelica.runtime.ownership import Declaration, Declared, Ownership
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.run_maker import RunMaker
from angelica.runtime.schedule_desk import ScheduleDesk
from angelica.runtime.schedule_drafts import ScheduleDraft, read_schedule
from angelica.runtime.schedule_fields import flag
from angelica.runtime.schedule_reading import ScheduleReading
from angelica.runtime.schedule_runs import Pace, ScheduleRuns
from angelica.runtime.submit import TaskMaker
from angelica.storage.protocol import SchedulePut, Storage

MAX_REASON: Final = 1024


class SchedulesSettings(Protocol):
    """The settings that are read here: `payload_limit` is bytes."""

    @property
    def payload_limit(self) -> int: ...


class Schedules(ScheduleReading):
    """Bound to one engine's storage, clock, function registry and settings. Safe to call from any event loop.

    Whatever takes an id raises `NotFound` if no such schedule stands. All moments and durations are microseconds.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        means: Means,
        registry: FunctionRegistry,
        settings: SchedulesSettings,
        bits: Callable[[int], int],
        state: Callable[[], str],
    ) -> None:
        make = TaskMaker(bits)
        catalogue = Catalogue(storage, registry, means.clock, settings.payload_limit)
        desk, maker = ScheduleDesk(storage, means), RunMaker(catalogue, make)
        super().__init__(storage, means=means, desk=desk, maker=maker)
        self._bits = bits
        self._state = state
        self._operations = Operations()
        self._runs = ScheduleRuns(
            storage, means=means, catalogue=catalogue, make=make, bits=bits, operations=self._operations
        )
        self._ownership = Ownership(storage, means=means, desk=desk, runs=maker)

    # --- definitions ---

    async def create(self, draft: ScheduleDraft, *, created_by: str | None = None) -> tuple[Schedule, bool]:
        """Store a schedule; False with the one that stands if the same id stands with the same definition.

        Without an id it gets one. Raises `ScheduleConflict` (another definition), `UnknownFunction`,
        `InvalidArguments`, `InvalidValue` (`no_future_fire`), `ShuttingDown`.
        """
        self._check_open()
        now = self._means.clock.now()
        schedule_id = draft.id or uuid7(now.wall, self._bits(74))
        made = new_schedule(
            draft, await self._maker.run_of(draft, now.wall, created_by), schedule_id=schedule_id, wall=now.wall
        )
        status = (await self._storage.put_schedules([SchedulePut(made, expect="new")], now=now))[0]
        if status == "exists":
            standing = await self._desk.get(schedule_id)
            if definition_of(standing) != plain(draft.form):
                problem = f"the schedule {schedule_id} stands with another definition"
                raise ScheduleConflict(problem, schedule_id=schedule_id)
            return standing, False
        self._means.emit(ScheduleChanged(schedule_id, "created"))
        return made, True

    async def put(
        self, draft: ScheduleDraft, *, version: int | None = None, created_by: str | None = None
    ) -> tuple[Schedule, bool]:
        """Store a whole definition under its id; True if none stood. Fields of the code that differ are overridden.

        Raises as `create`, but never `ScheduleConflict`; `VersionConflict` if `version` is given and is another.
        """
        self._check_open()
        if draft.id is None:
            raise InvalidValue("/schedule_id", "is missing", rule="missing")
        if (await self._storage.get_schedules([draft.id]))[0] is None:
            if version is not None:
                raise VersionConflict(f"there is no schedule {draft.id}", current=0)
            try:
                return await self.create(draft, created_by=created_by)
            except ScheduleConflict:
                pass  # somebody else was faster: then it is an edit of theirs

        async def change(standing: Schedule, now: Now) -> Schedule:
            form = plain(draft.form)
            before = definition_of(standing)
            changes = {key for key in {*form, *before} if form.get(key) != before.get(key)}
            in_task = {*form.get("task", {}), *before.get("task", {})} if "task" in changes else set()
            return await self._redefine(standing, draft, now, changes - {"enabled"}, in_task)

        return await self._desk.change(draft.id, change, version=version, what="updated"), False

    async def patch(self, schedule_id: str, changes: Mapping[str, Any], *, version: int | None = None) -> Schedule:
        """Edit fields (a merge patch: null goes back to the default); another trigger replaces the one that stood.

        `enabled` pauses or resumes; `cancel_pending` true cancels the runs that have not begun. Raises
        `VersionConflict`, and what reading a definition raises. The next fire moves only with the trigger or bounds.
        """
        self._check_open()
        if not isinstance(changes, Mapping):
            raise InvalidValue("", "must be an object of changes", rule="type")
        fields = {key: value for key, value in changes.items() if key not in ("enabled", "cancel_pending")}
        enabled, cancel_pending = (_flag(changes, key) for key in ("enabled", "cancel_pending"))
        in_task = fields["task"] if isinstance(fields.get("task"), Mapping) else {}

        async def change(standing: Schedule, now: Now) -> Schedule:
            form = patched(definition_of(standing), fields)
            # A null of an unknown field is as wrong as any other value of it.
            unknown = [key for key, value in fields.items() if value is None and key not in form]
            draft = read_schedule({**form, **dict.fromkeys(unknown)}, schedule_id=schedule_id)
            if fields.get("in") is not None:
                draft = absolute(draft, now.wall)
            return await self._redefine(standing, draft, now, fields, in_task)

        schedule = await self._desk.change(schedule_id, change, version=version, what="updated")
        if enabled is not None:
            schedule = await (self.resume(schedule_id) if enabled else self.pause(schedule_id, ""))
        if cancel_pending:
            await self._cancel(schedule_id, pending_only=True)
        return schedule

    async def reset(self, schedule_id: str, field: str | None = None) -> Schedule:
        """Take back what operators edited of a schedule of the code: one field (`task.queue`), or all of them."""
        self._check_open()

        async def change(standing: Schedule, now: Now) -> Schedule:
            if standing.declared is None:
                raise InvalidValue("/schedule_id", "was not declared by code, so there is nothing to go back to")
            override = without(override_form(standing), field)
            if override == override_form(standing):
                return standing
            draft = read_schedule(effective(declared_form(standing), override), schedule_id=schedule_id)
            made = await self._redefine(standing, draft, now, (), ())
            made = replace(made, version=standing.version + 1)
            return replace(made, override=strict_json.dumps(override) if override else None)

        return await self._desk.change(schedule_id, change, version=None, what="updated")

    async def _redefine(
        self, standing: Schedule, draft: ScheduleDraft, now: Now, changes: Iterable[str], in_task: Iterable[str]
    ) -> Schedule:
        """Return the schedule under the definition of a draft, and itself if that is the one it has."""
        form = plain(draft.form)
        if form == definition_of(standing):
            return standing
        run = await self._maker.run_of(draft, now.wall, standing.run.extras.created_by)
        running = draft.trigger.mode == "delay" and (await self._storage.unfinished_runs(standing.id)).count > 0
        made = redefined(standing, draft, run, wall=now.wall, running=running)
        override = override_after(standing, changes, in_task, form)
        return replace(made, override=override, version=standing.version + 1)

    # --- phases and runs ---

    async def pause(self, schedule_id: str, reason: str = "") -> Schedule:
        """Stop firing until `resume`; running runs go on. One that is paused or completed stays as it is."""
        if len(reason) > MAX_REASON or "\x00" in reason:
            raise InvalidValue("/reason", f"must be at most {MAX_REASON} characters without NUL")

        async def change(standing: Schedule, now: Now) -> Schedule:
            if standing.phase is not Phase.ACTIVE:
                return standing
            return replace(standing, phase=Phase.PAUSED, phase_reason=reason, paused_at=now.wall)

        return await self._desk.change(schedule_id, change, version=None, what="paused")

    async def resume(self, schedule_id: str, *, catch_up: bool = False) -> Schedule:
        """Fire again; what fell due meanwhile is recorded as paused, or with `catch_up` treated as missed.

        An orphan that is resumed belongs to the operators from then on: no deploy misses it again.
        """
        self._check_open()
        if (await self._desk.get(schedule_id)).phase is Phase.ORPHANED:
            await self._desk.change(schedule_id, _adopted, version=None, what="updated")
        return await self._desk.resume(schedule_id, catch_up=catch_up)

    async def delete(self, schedule_id: str, *, cancel_running: bool = False) -> None:
        """Delete a schedule with its history; its runs go on, or with `cancel_running` are cancelled.

        One of the code stays deleted, though the code declares it still.
        """
        standing = await self._desk.get(schedule_id)
        now = self._means.clock.now()
        unfinished = await self._storage.unfinished_runs(schedule_id)
        declared = standing.declared is not None
        if not (await self._storage.delete_schedules([schedule_id], now=now, tombstone=declared))[0]:
            raise NotFound(f"there is no schedule {schedule_id[:200]!r}")
        if cancel_running:
            await self._cancel_runs((*unfinished.waiting, *unfinished.running))
        self._means.emit(ScheduleChanged(schedule_id, "deleted"))

    async def trigger(
        self, schedule_id: str, overrides: Mapping[str, Any] | None = None, *, created_by: str | None = None
    ) -> Task:
        """Store one run now, also while paused and beside unfinished runs; fires to come stay as they are.

        `overrides` are fields of a task: `args` replace, `kwargs` are laid over, options win over the definition's.
        """
        self._check_open()
        return await self._runs.trigger(await self._desk.get(schedule_id), overrides, created_by=created_by)

    async def backfill(
        self,
        schedule_id: str,
        start: int,
        end: int,
        force: bool = False,  # noqa: FBT001, FBT002 - as the other two, by place or by name
        dry_run: bool = False,  # noqa: FBT001, FBT002
        *,
        overlap: Pace = "queue_all",
    ) -> Operation:
        """Store a run for each fire time in [start, end) up to now that has none; with `force` for each that has.

        They run one after the other, or with `overlap` `allow` as they come. With `dry_run` nothing is stored.
        """
        self._check_open()
        schedule = await self._desk.fired(await self._desk.get(schedule_id))
        return await self._runs.backfill(schedule, start, end, force=force, dry_run=dry_run, pace=overlap)

    async def operation(self, operation_id: str) -> Operation:
        """Return an operation that this process has carried out; raises `NotFound`."""
        return self._operations.get(operation_id)

    async def declare(
        self,
        declarations: Sequence[Declaration],
        *,
        sources: Iterable[str] = (),
        revision: int = 0,
        redeclare: bool = False,
    ) -> Declared:
        """Store what code declares and orphan what its `sources` declare no more; see `Ownership.declare`."""
        return await self._ownership.declare(declarations, sources=sources, revision=revision, redeclare=redeclare)

    def _check_open(self) -> None:
        if self._state() in ("SHUTDOWN", "TERMINATED"):
            raise ShuttingDown("the engine is shutting down and takes no edits of schedules")

    async def _cancel(self, schedule_id: str, *, pending_only: bool) -> None:
        unfinished = await self._storage.unfinished_runs(schedule_id)
        ids = (*unfinished.waiting, *unfinished.running)
        if pending_only:
            tasks = await self._storage.get_tasks(ids)
            ids = tuple(task.id for task in tasks if task is not None and task.state is not State.RUNNING)
        await self._cancel_runs(ids)

    async def _cancel_runs(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        replies = await self._storage.cancel_many(ids, reason=CANCELLED, now=self._means.clock.now())
        ended = tuple(task_id for task_id, reply in zip(ids, replies, strict=True) if reply == "cancelled")
        if ended:
            self._means.emit(TasksCancelled(ended, CANCELLED))


async def _adopted(schedule: Schedule, now: Now) -> Schedule:
    """Return an orphan with all of its definition in the operators' hands."""
    if schedule.phase is not Phase.ORPHANED or schedule.declared is None:
        return schedule
    form = strict_json.dumps(definition_of(schedule))
    return replace(schedule, owner="api", declared=None, override=form, updated_at=now.wall)


def _flag(changes: Mapping[str, Any], key: str) -> bool | None:
    value = changes.get(key)
    if value is None:
        return None
    try:
        return flag(value)
    except ValueError as error:
        raise InvalidValue(f"/{key}", str(error)) from None
