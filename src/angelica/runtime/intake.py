"""The intake: from a call to a stored task. Gates, hooks, lane or store, and what the caller is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from angelica.clock import Clock, Now
from angelica.domain.events import Event, TasksSubmitted
from angelica.domain.lifecycle import first_state
from angelica.domain.task import NewTask, Task
from angelica.domain.value import maker
from angelica.errors import (
    Aborted,
    AngelicaError,
    IdConflict,
    QueueFull,
    ShuttingDown,
    StorageError,
    UniqueConflict,
)
from angelica.runtime.depth import Depth
from angelica.runtime.express import Express, Lane
from angelica.runtime.functions import Call, Function
from angelica.runtime.hooks import Hooks, Submission
from angelica.runtime.options import Options
from angelica.runtime.submit import Asked, Parent, TaskMaker, current_parent
from angelica.storage.protocol import Request, Storage, Submitted

_task: Final = maker(Task)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted submit: the task as it stands, whether this call created it, and whether it is on disk.

    `warnings` say in words what may keep it from running.
    """

    task: Task
    created: bool
    durable: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replies:
    """Replies position by position; an item that was refused is the exception that says why."""

    items: tuple[Accepted | Exception, ...]
    replayed: bool = False


class Intake:
    """Takes calls for one engine."""

    def __init__(
        self,
        storage: Storage,
        lane: Lane | None,
        *,
        clock: Clock,
        hooks: Hooks,
        make: TaskMaker,
        emit: Callable[[Event], None],
        state: Callable[[], str],
        bounds: tuple[int | None, int],
    ) -> None:
        self._storage = storage
        self._lane = lane
        self._clock = clock
        self._hooks = hooks
        self._make = make
        self._emit = emit
        self._state = state
        max_depth, self._memory_bound = bounds
        self._depth = Depth(storage, clock, max_depth)
        self.express = Express(
            storage,
            lane,
            clock=clock,
            hooks=hooks,
            make=make,
            emit=emit,
            check_open=self._check_open,
            memory_bound=self._memory_bound if max_depth is None else None,
            depth=self._depth,
        )

    async def take_one(
        self, function: Function[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options
    ) -> Accepted:
        """Submit one call of a function of this process; raises why it was refused."""
        replies = await self.take([asked_of(function, args, kwargs, options)], parent=current_parent())
        reply_or_error = replies.items[0]
        if isinstance(reply_or_error, Exception):
            raise reply_or_error
        return reply_or_error

    async def take_many(
        self, function: Function[..., Any], calls: Sequence[Call], options: Options
    ) -> Sequence[Accepted]:
        """Submit many calls of one function in one transaction; raises why the first was refused, and stores none."""
        return await self.take_all([asked_of(function, args, kwargs, options) for args, kwargs in calls])

    async def take_all(self, asked: Sequence[Asked]) -> Sequence[Accepted]:
        """Submit calls in one transaction; raises why the first was refused, and stores none."""
        replies = await self.take(asked, atomic=True, parent=current_parent())
        refusals = [each for each in replies.items if isinstance(each, Exception)]
        if refusals:
            # `Aborted` only says that another item was refused: that one's reason is what the caller needs.
            raise next((each for each in refusals if not isinstance(each, Aborted)), refusals[0])
        return [each for each in replies.items if isinstance(each, Accepted)]

    async def take(
        self,
        asked: Sequence[Asked | Exception],
        *,
        request: Request | None = None,
        atomic: bool = False,
        parent: Parent | None = None,
    ) -> Replies:
        """Submit many; an item that is an exception already keeps its place."""
        now, made = await self.prepare(asked, parent)
        if atomic and any(isinstance(each, Exception) for each in made):
            return Replies(tuple(each if isinstance(each, Exception) else Aborted() for each in made))
        items: list[Accepted | Exception | None] = [each if isinstance(each, Exception) else None for each in made]
        specs = [(n, each) for n, each in enumerate(made) if isinstance(each, NewTask)]
        in_lane = [pair for pair in specs if self._is_for_lane(asked[pair[0]])]
        in_store = [pair for pair in specs if not self._is_for_lane(asked[pair[0]])]
        spilled, kept = self._overflow(asked, in_lane, items, now)
        replayed = False
        for store, batch in ((self._storage, in_store + spilled), (self._lane, kept)):
            if store is not None and batch:
                replayed |= await self._write(store, batch, items, now, request=request, atomic=atomic)
        return Replies(tuple(each if each is not None else Aborted() for each in items), replayed)

    async def prepare(
        self, asked: Sequence[Asked | Exception], parent: Parent | None
    ) -> tuple[Now, list[NewTask | Exception]]:
        """Return the moment, and of each call its task or why it is refused; raises `ShuttingDown`."""
        self._check_open(parent)
        now = self._clock.now()
        return now, [await self._prepare(each, now, parent) for each in asked]

    async def put_again(self, spec: NewTask, durable: bool, now: Now) -> Task:  # noqa: FBT001 - says where it stood
        """Store an operator's retry; raises `UniqueConflict` if its key is taken."""
        self._check_open(None)
        store = self._lane if self._lane is not None and not durable else self._storage
        reply = (await store.enqueue_many((spec,), now=now)).items[0]
        if reply.status != "created":
            raise UniqueConflict(f"the unique key is held by {reply.task_id}", task_id=reply.task_id)
        self._emit(TasksSubmitted((spec,)))
        return _fresh(spec, now)

    def _check_open(self, parent: Parent | None) -> None:
        # A task that runs out its grace may still hand on what it has begun.
        if parent is None and self._state() in ("SHUTDOWN", "TERMINATED"):
            raise ShuttingDown("the engine is shutting down and takes no new tasks")

    def _is_for_lane(self, asked: Asked | Exception) -> bool:
        # Only a function of this process can run here: one that is known from the store alone becomes durable.
        if self._lane is None or isinstance(asked, Exception):
            return False
        return isinstance(asked.target, Function) and not asked.target.defaults.durable

    async def _prepare(self, asked: Asked | Exception, now: Now, parent: Parent | None) -> NewTask | Exception:
        if isinstance(asked, Exception):
            return asked
        try:
            if self._hooks.wants("before_submit"):
                asked = await self._ask_hooks(asked)
            payload = asked.target.encode(asked.args, asked.kwargs)
            spec = self._make.make(asked, payload, now.wall, parent)
            if not self._is_for_lane(asked):
                declared = [limit.name for limit in asked.target.defaults.limits]
                strange = [limit for limit in spec.extras.limits if limit.partition("/")[0] not in declared]
                await self._depth.admit((spec.queue,), strange)
                spec = self._depth.placed(spec)
        except StorageError:
            raise
        except AngelicaError as error:
            return error
        return spec

    async def _ask_hooks(self, asked: Asked) -> Asked:
        defaults = asked.target.defaults
        labels = {**defaults.labels, **(asked.options.labels or {})}
        queue = asked.options.queue or defaults.queue
        kwargs = dict(asked.kwargs)
        submission = Submission(defaults.name, queue, asked.args, kwargs, dict(asked.headers), labels)
        await self._hooks.refuse_or_change(submission)
        return replace(asked, headers=submission.headers, labels=submission.labels)

    def _overflow(
        self,
        asked: Sequence[Asked | Exception],
        batch: list[tuple[int, NewTask]],
        items: list[Accepted | Exception | None],
        now: Now,
    ) -> tuple[list[tuple[int, NewTask]], list[tuple[int, NewTask]]]:
        """Return what spills into the store and what the lane takes; what is refused is answered in `items`."""
        spilled: list[tuple[int, NewTask]] = []
        kept: list[tuple[int, NewTask]] = []
        for place, spec in batch:
            lane, target = self._lane, asked[place]
            assert lane is not None
            assert isinstance(target, Asked)
            if lane.unfinished + len(kept) < self._memory_bound:
                kept.append((place, spec))
            elif target.target.defaults.overflow == "spill":
                spilled.append((place, spec))
            elif target.target.defaults.overflow == "drop_oldest" and lane.drop_oldest(now=now) is not None:
                kept.append((place, spec))
            else:
                items[place] = QueueFull(f"the memory queue holds {self._memory_bound} unfinished tasks already")
        return spilled, kept

    async def _write(
        self,
        store: Storage,
        batch: Sequence[tuple[int, NewTask]],
        items: list[Accepted | Exception | None],
        now: Now,
        *,
        request: Request | None,
        atomic: bool,
    ) -> bool:
        """Store a batch, put the answers into `items`, and return whether a stored request was answered instead."""
        specs = [spec for _, spec in batch]
        stored = await store.enqueue_many(specs, now=now, request=request, atomic=atomic)
        for (place, spec), reply in zip(batch, stored.items, strict=False):
            try:
                items[place] = await self.answer(spec, reply, store, now, replayed=stored.replayed)
            except AngelicaError as error:
                items[place] = error
        created = () if stored.replayed else _created(specs, stored.items)
        if created:
            self._emit(TasksSubmitted(created))
            if self._hooks.wants("after_submit"):
                for spec in created:
                    await self._hooks.run("after_submit", spec.function, spec.queue, spec)
        return stored.replayed

    async def answer(
        self, spec: NewTask, reply: Submitted, store: Storage, now: Now, *, replayed: bool = False
    ) -> Accepted:
        """Return what the caller is told of one reply; raises `IdConflict`, `UniqueConflict`, `Aborted`."""
        durable = store is not self._lane
        match reply.status:
            case "created" if not replayed:
                return Accepted(_fresh(spec, now), created=True, durable=durable)
            case "created" | "existing":
                standing = (await store.get_tasks([reply.task_id]))[0]
                # Pruned between the reply and this look: what was asked for is the best that can be shown.
                task = standing or _fresh(replace(spec, id=reply.task_id), now)
                return Accepted(task, created=reply.status == "created" and not replayed, durable=durable)
            case "id_conflict":
                raise IdConflict(f"the task {reply.task_id} stands with another body", task_id=reply.task_id)
            case "unique_conflict":
                key = spec.unique.key if spec.unique else ""
                raise UniqueConflict(f"the unique key {key!r} is held by {reply.task_id}", task_id=reply.task_id)
            case "aborted":
                raise Aborted


def asked_of(function: Function[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Options) -> Asked:
    """Return one call of a function of this process as what is to be submitted."""
    return Asked(function, args, kwargs, options, headers=options.headers or {})


def _created(specs: Sequence[NewTask], replies: Sequence[Submitted]) -> tuple[NewTask, ...]:
    return tuple(spec for spec, reply in zip(specs, replies, strict=True) if reply.status == "created")


def _fresh(spec: NewTask, now: Now) -> Task:
    """Return a task that has just been stored, as the store would show it."""
    return _task(spec, first_state(spec, now=now), 0, 0, 0, spec.run_at)
