"""Admission: refuses submits beyond the depth of a queue or with unknown limits, by what is a second old at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol

from angelica.clock import SECOND, Clock, Now
from angelica.domain.gates import parts_of
from angelica.domain.task import NewTask, State
from angelica.errors import InvalidValue, QueueFull
from angelica.storage.protocol import LimitStore, Reader

_REREAD: Final = SECOND
_WAITING: Final = frozenset({State.WAITING, State.SCHEDULED, State.QUEUED})


class LimitedReader(Reader, LimitStore, Protocol):
    """The part of a storage that is asked."""


class Depth:
    """Counts the tasks that wait in each queue, and those that this process has added since the last look.

    `limit` bounds every queue that has no `max_depth` of its own.
    """

    def __init__(self, reader: LimitedReader, clock: Clock, limit: int | None) -> None:
        self._reader = reader
        self._clock = clock
        self._limit = limit
        self._depth: Counter[str] = Counter()
        self._bounds: dict[str, int] = {}
        self._names: frozenset[str] = frozenset()
        self._fair: dict[str, str] = {}
        self._read_at: int | None = None

    async def admit(self, queues: Iterable[str], limits: Iterable[str] = ()) -> None:
        """Take account of one new task for each queue named; raises `QueueFull` and takes account of none.

        Raises `InvalidValue` for one of `limits` ("name" or "name/key") that is neither declared nor stored.
        """
        now = self._clock.now()
        if self.is_old(now):
            await self.look(now)
        for limit in limits:
            name = limit.partition("/")[0]
            if name not in self._names:
                hint = "declare it, or store it: PUT /limits/{name}"
                raise InvalidValue("/limits", f"there is no limit {name!r}", hint=hint, rule="unknown_limit")
        wanted = Counter(queues)
        for queue, count in wanted.items():
            bound = self._bounds.get(queue, self._limit)
            if bound is not None and self._depth[queue] + count > bound:
                raise QueueFull(f"the queue {queue} is full: {self._depth[queue]} of {bound} tasks wait in it")
        self._depth += wanted

    def placed(self, task: NewTask) -> NewTask:
        """Return a task with its tenant, where its queue is shared between tenants as far as is known.

        One that is not placed here is placed by the claim that meets it, which costs one more write.
        """
        header = self._fair.get(task.queue)
        if header is None:
            return task
        return replace(task, extras=replace(task.extras, tenant=task.extras.headers.get(header, "")))

    def is_old(self, now: Now) -> bool:
        """Whether it is time to look again."""
        return self._read_at is None or now.tick - self._read_at >= _REREAD

    def is_bounded(self, queue: str) -> bool:
        """Whether a queue has a bound, as far as is known."""
        return self._limit is not None or queue in self._bounds

    async def look(self, now: Now) -> None:
        """Read the bounds and the depths."""
        self._read_at = now.tick
        bounds: dict[str, int] = {}
        names: set[str] = set()
        fair: dict[str, str] = {}
        for row in await self._reader.list_limits():
            kind, name, _ = parts_of(row.gate)
            if kind == "limit":
                names.add(name)
            elif kind == "queue":
                if row.override.get("max_depth") is not None:
                    bounds[name] = row.override["max_depth"]
                header = row.override.get("fair", row.declared.get("fair"))
                if header:
                    fair[name] = header
        depth: Counter[str] = Counter()
        if bounds or self._limit is not None:
            for (queue, state), count in (await self._reader.counts()).items():
                if state in _WAITING:
                    depth[queue] += count
        self._depth, self._bounds, self._names, self._fair = depth, bounds, frozenset(names), fair
