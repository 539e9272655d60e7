"""Waiting for ends: many waiters of one event loop share one look at the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from angelica.domain.task import Task
from angelica.storage.protocol import Storage, Topic

NET: Final = 1.0
"""A ring may be lost: the store is looked at so often (seconds) in any case."""

_CROWD: Final = 64
_PAUSE: Final = 0.01


class Waiting:
    """Waits until tasks have ended; safe from any event loop. `chance` spreads the looks of many processes."""

    def __init__(self, storage: Storage, chance: Callable[[], float]) -> None:
        self._storage = storage
        self._chance = chance
        self._pumps: dict[asyncio.AbstractEventLoop, _Pump] = {}

    async def wait(self, task_id: str, timeout: float) -> Task | None:
        """Return the task once it has ended, as it stands after `timeout` seconds, or None if it is not there."""
        since = self._storage.mark(Topic.ENDED)
        task = (await self._storage.get_tasks([task_id]))[0]
        if task is None or task.is_terminal or timeout <= 0:
            return task
        loop = asyncio.get_running_loop()
        pump = self._pumps.get(loop)
        if pump is None:
            pump = self._pumps[loop] = _Pump(self._storage, self._chance)
        future = pump.add(task_id, since)
        try:
            if self._storage.mark(Topic.ENDED) != since:  # it may have ended since the look, and the ring is over
                task = (await self._storage.get_tasks([task_id]))[0]
                if task is None or task.is_terminal:
                    return task
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return (await self._storage.get_tasks([task_id]))[0]
        finally:
            pump.drop(task_id, future)
            if pump.is_idle and self._pumps.get(loop) is pump:
                del self._pumps[loop]
                pump.stop()


class _Pump:
    """The one look at the store for all waiters of one event loop."""

    def __init__(self, storage: Storage, chance: Callable[[], float]) -> None:
        self._storage = storage
        self._chance = chance
        self._waiters: dict[str, list[asyncio.Future[Task | None]]] = {}
        self._runner: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        return not self._waiters

    def add(self, task_id: str, since: int) -> asyncio.Future[Task | None]:
        future: asyncio.Future[Task | None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(task_id, []).append(future)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(since), name="angelica-waiting")
        return future

    def drop(self, task_id: str, future: asyncio.Future[Task | None]) -> None:
        waiters = self._waiters.get(task_id, [])
        if future in waiters:
            waiters.remove(future)
        if not waiters:
            self._waiters.pop(task_id, None)

    def stop(self) -> None:
        if self._runner is not None:
            self._runner.cancel()

    async def _run(self, since: int) -> None:
        while self._waiters:
            seen = self._storage.mark(Topic.ENDED)
            if seen <= since:
                since = await self._storage.wait(Topic.ENDED, since, NET * (1.0 - 0.25 * self._chance()))
            else:
                since = seen
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whoever waits is told what the store said
                self._fail(error)
            if len(self._waiters) > _CROWD:
                await asyncio.sleep(_PAUSE)  # a crowd's look is dear: let more ends gather

    async def _look(self) -> None:
        ids = list(self._waiters)
        for task_id, task in zip(ids, await self._storage.get_tasks(ids), strict=True):
            if task is None or task.is_terminal:
                for future in self._waiters.pop(task_id, []):
                    if not future.done():
                        future.set_result(task)

    def _fail(self, error: Exception) -> None:
        waiters, self._waiters = self._waiters, {}
        for futures in waiters.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
