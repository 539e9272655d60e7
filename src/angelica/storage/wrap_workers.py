"""The verbs about workers of a storage around a storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.task import Task
from angelica.storage.protocol import Beat, BeatReply, Control, ControlStatus, WorkerInfo, WorkerRow
from angelica.storage.wrap_schedules import WrappedSchedules


class WrappedWorkers(WrappedSchedules):
    """Hands the verbs about workers, and about what is held for want of one, to the storage inside."""

    async def heartbeat(self, beat: Beat, *, now: Now, limit: int = 1000) -> BeatReply:
        return await self._call("heartbeat", lambda: self.inner.heartbeat(beat, now=now, limit=limit))

    async def free_held(self, worker: WorkerInfo, *, limit: int = 1000) -> int:
        return await self._call("free_held", lambda: self.inner.free_held(worker, limit=limit))

    async def end_worker(self, worker: str, *, now: Now) -> int:
        return await self._call("end_worker", lambda: self.inner.end_worker(worker, now=now))

    async def expired(self, *, now: Now, limit: int = 1000) -> tuple[Task, ...]:
        return await self._call("expired", lambda: self.inner.expired(now=now, limit=limit))

    async def control_workers(self, workers: Sequence[str], control: Control, *, now: Now) -> tuple[ControlStatus, ...]:
        return await self._call("control_workers", lambda: self.inner.control_workers(workers, control, now=now))

    async def park_unmet(self, *, now: Now, limit: int = 1000) -> int:
        return await self._call("park_unmet", lambda: self.inner.park_unmet(now=now, limit=limit))

    async def list_workers(self) -> tuple[WorkerRow, ...]:
        return await self._call("list_workers", self.inner.list_workers)

    async def count_held(self, *, limit: int = 10_000) -> Mapping[tuple[str, str], int]:
        return await self._call("count_held", lambda: self.inner.count_held(limit=limit))
