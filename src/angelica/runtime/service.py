"""The service: what HTTP, the CLI and the Python surface ask for, as coroutines over the storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from angelica.clock import Clock
from angelica.domain.command import AllowList
from angelica.domain.events import Event, TasksCancelled
from angelica.domain.reasons import CANCELLED, Why
from angelica.domain.task import Attempt, State, Task
from angelica.errors import AngelicaError, InvalidValue, NotFinished, NotFound, StorageError
from angelica.runtime import fields
from angelica.runtime.breakers import Breakers
from angelica.runtime.catalogue import Catalogue, StoredFunction
from angelica.runtime.commands.target import CommandTarget
from angelica.runtime.drafts import Draft
from angelica.runtime.explain import explain
from angelica.runtime.express import Lane
from angelica.runtime.fitting import warned
from angelica.runtime.fleet import Fleet, is_live
from angelica.runtime.functions import Call, CallOf, Function
from angelica.runtime.intake import Accepted, Intake, Replies, asked_of
from angelica.runtime.joining import Joining
from angelica.runtime.limits_desk import LimitsDesk
from angelica.runtime.options import Options
from angelica.runtime.predict import with_start
from angelica.runtime.records import Records
from angelica.runtime.registry import FunctionRegistry
from angelica.runtime.submit import Asked, TaskMaker, current_parent
from angelica.runtime.waiting import Waiting
from angelica.storage.protocol import (
    CancelStatus,
    FunctionRow,
    LogLine,
    Request,
    Storage,
    TaskFilter,
    TaskPage,
    WorkerRow,
)

__all__ = ["Accepted", "Health", "Replies", "Service", "ServiceSettings"]

MAX_REASON: Final = 1024


@dataclass(frozen=True, slots=True)
class Health:
    """`failing` names what is wrong (`store`, `worker`, `engine`), empty when healthy; `detail` says more."""

    failing: tuple[str, ...]
    detail: Mapping[str, Any]


class ServiceSettings(Protocol):
    """The settings that the service reads. `max_depth` and `memory_bound` count tasks, `payload_limit` is bytes.

    `retention` is microseconds, `commands` what may be run as a command.
    """

    @property
    def payload_limit(self) -> int: ...
    @property
    def max_depth(self) -> int | None: ...
    @property
    def memory_bound(self) -> int: ...
    @property
    def retention(self) -> int: ...
    @property
    def commands(self) -> AllowList: ...


class Service:
    """Bound to one engine's storage, clock, function registry and settings.

    `lane` holds the tasks of functions that are not durable (None: they are stored like all others). `state` says
    `RUNNING`, `SHUTDOWN` or `TERMINATED`. Safe to call from any event loop.
    """

    def __init__(  # noqa: PLR0913 - called once, by the composition root, each by its name
        self,
        storage: Storage,
        *,
        clock: Clock,
        registry: FunctionRegistry,
        settings: ServiceSettings,
        chance: Callable[[], float],
        bits: Callable[[int], int],
        emit: Callable[[Event], None],
        lane: Lane | None,
        state: Callable[[], str],
    ) -> None:
        self._storage = storage
        self._lane = lane
        self._clock = clock
        self._hooks = registry.hooks
        self._emit = emit
        self._state = state
        self._settings = settings
        self._make = TaskMaker(bits)
        self._catalogue = Catalogue(storage, registry, clock, settings.payload_limit)
        self._waiting = Waiting(storage, chance)
        self._lane_waiting = None if lane is None else Waiting(lane, chance)
        self.fleet = Fleet(storage)
        self.breakers = Breakers(storage, clock)
        self.limits = LimitsDesk(storage, clock)
        self.records = Records(storage, settings, clock)
        self._probes: dict[str, Callable[[], str | None]] = {}
        self._intake = Intake(
            storage,
            lane,
            clock=clock,
            hooks=registry.hooks,
            make=self._make,
            emit=emit,
            state=state,
            bounds=(settings.max_depth, settings.memory_bound),
        )
        self.express = self._intake.express
        self.joining = Joining(storage, self._intake)

    async def submit(self, drafts: Sequence[Draft], *, request: Request | None = None, atomic: bool = False) -> Replies:
        """Submit drafts; each is answered at its place, by what was accepted or the `AngelicaError` that says why not.

        With `atomic`, one refusal leaves all unwritten (the others are answered `Aborted`). A standing `request` is
        answered by its stored tasks (`replayed`). Raises `IdempotencyMismatch`, `ShuttingDown`, `StorageUnavailable`.
        """
        asked = [await self._resolve(draft) for draft in drafts]
        replies = await self._intake.take(asked, request=request, atomic=atomic, parent=current_parent())
        return await warned(replies, self._storage) if any(map(_needs_much, asked)) else replies

    async def submit_one(
        self, function: Function[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
    ) -> Accepted:
        """Submit one call of a function of this process; raises why it was refused."""
        return await self._intake.take_one(function, args, kwargs, options)

    async def submit_many(
        self, function: Function[..., Any], calls: Sequence[Call], options: Options
    ) -> tuple[Accepted, ...]:
        """Submit many calls of one function in one transaction; raises why the first was refused, and stores none."""
        return tuple(await self._intake.take_many(function, calls, options))

    async def submit_all(self, calls: Sequence[CallOf]) -> tuple[Accepted, ...]:
        """Submit calls of any functions in one transaction; raises why the first was refused, and stores none."""
        asked = [asked_of(function, *call, function.options) for function, call in calls]
        return tuple(await self._intake.take_all(asked))

    async def get(self, task_id: str) -> Task:
        """Return a task, from memory or the store; raises `NotFound`."""
        return (await self._find(task_id))[0]

    async def wait(self, task_id: str, timeout: float) -> Task:
        """Return the task once it has ended, or as it stands after `timeout` seconds; raises `NotFound`."""
        waiting = self._waiting
        if self._lane_waiting is not None and self._lane is not None and (await self._lane.get_tasks([task_id]))[0]:
            waiting = self._lane_waiting
        task = await waiting.wait(task_id, timeout)
        if task is None:
            raise _not_found(task_id)
        return task

    async def list(
        self,
        where: TaskFilter,
        *,
        limit: int = 50,
        after: tuple[int, str] | None = None,
        newest_first: bool = True,
        durable: bool = True,
    ) -> TaskPage:
        """Return one page of tasks; with `durable=False` those that only this process has."""
        if not durable and self._lane is None:
            return TaskPage(())
        store: Storage = self._storage if durable or self._lane is None else self._lane
        return await store.list_tasks(where, limit=limit, after=after, newest_first=newest_first)

    async def cancel(self, task_id: str, *, reason: str = "") -> tuple[CancelStatus, Task]:
        """Cancel a task: ended at once if it has not started, else asked to stop; raises `NotFound`.

        The status is `cancelled`, `requested` or `finished` (it had ended already, nothing was done).
        """
        _check_reason(reason)
        _, store = await self._find(task_id)
        now = self._clock.now()
        status = (await store.cancel_many([task_id], reason=reason or CANCELLED, now=now))[0]
        task = (await store.get_tasks([task_id]))[0]
        if status == "missing" or task is None:
            raise _not_found(task_id)
        if status == "cancelled":
            self._emit(TasksCancelled((task_id,), reason or CANCELLED))
            if self._hooks.wants("on_cancel"):
                await self._hooks.run("on_cancel", task.function, task.queue, task)
        return status, task

    async def retry(self, task_id: str, *, delay: float = 0.0) -> Task:
        """Make a new task that does the same, `delay` seconds from now; its `retry_of` names the old one.

        Raises `NotFound`, `NotFinished` for a task that has not ended, `UniqueConflict` if its key is taken.
        """
        try:
            micros = fields.duration(delay)
        except ValueError as error:
            raise InvalidValue("/delay", str(error)) from None
        task, store = await self._find(task_id)
        if not task.is_terminal:
            raise NotFinished(f"the task {task_id} is {task.state}; only an ended one can be retried", task_id=task_id)
        now = self._clock.now()
        spec = self._make.again(task.spec, wall=now.wall, run_at=now.wall + micros)
        return await self._intake.put_again(spec, store is not self._lane, now)

    async def delete(self, task_id: str, *, purge: bool = False) -> tuple[str, Task | None]:
        """Cancel a task that has not ended (`cancelled` or `requested`, with the task), delete one that has.

        `purge` deletes a waiting task too, after cancelling it. `deleted` comes without a task. Raises `NotFound`.
        """
        task, store = await self._find(task_id)
        if not task.is_terminal:
            status, task = await self.cancel(task_id)
            if status == "requested" or (status == "cancelled" and not purge):
                return status, task
        if not (await store.delete_tasks([task_id]))[0]:
            raise _not_found(task_id)
        return "deleted", None

    async def why(self, task_id: str) -> Why | None:
        """Return why a task is not running, or that it runs; None if it has ended. Raises `NotFound`."""
        task, store = await self._find(task_id)
        found = await explain(task, store)
        return None if found is None else await with_start(found, task, store)

    async def logs(
        self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> tuple[LogLine, ...]:
        """Return log lines after the cursor (attempt, seq), in order; raises `NotFound`."""
        _, store = await self._find(task_id)
        return await store.read_logs(task_id, attempt=attempt, after=after, limit=limit)

    async def attempts(self, task_id: str) -> tuple[Attempt, ...]:
        """Return the attempts that did not succeed; raises `NotFound`."""
        _, store = await self._find(task_id)
        return await store.read_attempts(task_id)

    async def functions(self) -> tuple[FunctionRow, ...]:
        """Return the functions that any engine on this store has declared."""
        return await self._storage.list_functions()

    async def workers(self) -> tuple[WorkerRow, ...]:
        """Return the workers that are registered."""
        return await self._storage.list_workers()

    async def counts(self) -> Mapping[tuple[str, State], int]:
        """Return how many tasks stand in each (queue, state), in the store and in this process's memory."""
        counts = dict(await self._storage.counts())
        if self._lane is not None:
            for key, number in (await self._lane.counts()).items():
                counts[key] = counts.get(key, 0) + number
        return counts

    def add_probe(self, name: str, probe: Callable[[], str | None]) -> None:
        """Let `health` ask `probe`, which returns what is wrong or None, under `name` (`worker`, …)."""
        self._probes[name] = probe

    async def health(self) -> Health:
        """Return what is wrong with the store, the engine and whatever was added as a probe; never raises."""
        failing: list[str] = []
        state = self._state()
        detail: dict[str, Any] = {"engine": state}
        if state != "RUNNING":
            failing.append("engine")
        try:
            status = await self._storage.status()
            detail["store"] = {"kind": status.kind, "schema_version": status.schema_version}
            if status.warnings:
                detail["store"]["warnings"] = [f"{each.text}: {each.fix}" for each in status.warnings]
            # Told, but no failure of ours: a balancer that took us out for it would refuse submits as well.
            deserted = await self._deserted()
            if deserted is not None:
                detail["workers"] = deserted
            blocked = self.fleet.words(await self.fleet.blocked())
            if blocked:
                detail["blocked"] = blocked
        except StorageError as error:
            failing.append("store")
            detail["store"] = {"problem": error.code}
        for name, probe in self._probes.items():
            problem = probe()
            if problem is not None:
                failing.append(name)
            detail[name] = "ok" if problem is None else problem
        return Health(tuple(failing), detail)

    async def _deserted(self) -> str | None:
        """Say so if tasks are ready and no worker lives to claim them: a queue that nobody serves looks healthy."""
        counts = await self._storage.counts()
        ready = sum(n for (_, state), n in counts.items() if state is State.QUEUED)
        if not ready:
            return None
        now = self._clock.now()
        if any(is_live(row, now) for row in await self.workers()):
            return None
        return f"{ready} task(s) are ready and no worker lives"

    async def _find(self, task_id: str) -> tuple[Task, Storage]:
        """Return a task and where it stands; memory first, since that look costs nothing."""
        if self._lane is not None and (task := (await self._lane.get_tasks([task_id]))[0]) is not None:
            return task, self._lane
        task = (await self._storage.get_tasks([task_id]))[0]
        if task is None:
            raise _not_found(task_id)
        return task, self._storage

    async def _resolve(self, draft: Draft) -> Asked | Exception:
        options = draft.options
        target: Function[..., Any] | StoredFunction | CommandTarget
        try:
            if draft.command is None:
                target = await self._catalogue.find(draft.name)
            else:
                settings = self._settings
                line = settings.commands.match(draft.command)
                target = CommandTarget(line, retention=settings.retention, payload_limit=settings.payload_limit)
                options = target.options(options)
        except StorageError:
            raise
        except AngelicaError as error:
            return error
        return Asked(target, draft.args, draft.kwargs, options, headers=draft.headers, created_by=draft.created_by)


def _needs_much(asked: Asked | Exception) -> bool:
    """Whether a call says, or its function declares, what it needs of a machine."""
    return isinstance(asked, Asked) and bool(asked.options.resources or asked.target.defaults.resources)


def _not_found(task_id: str) -> NotFound:
    return NotFound(f"there is no task {task_id[:200]!r}")


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON or "\x00" in reason:
        raise InvalidValue("/reason", f"must be at most {MAX_REASON} characters without NUL")
