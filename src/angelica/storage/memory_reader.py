"""The memory storage's verbs that read tasks and what their attempts left."""

from __future__ import annotations

from collections.abc import Sequence

from angelica.domain.task import Attempt, Task
from angelica.storage.memory_core import MemoryCore
from angelica.storage.memory_reads import ahead, lines_of, page, recent
from angelica.storage.protocol import LogLine, TaskFilter, TaskPage


class MemoryReader(MemoryCore):
    """The part of the memory storage that reads tasks."""

    async def get_tasks(self, task_ids: Sequence[str]) -> tuple[Task | None, ...]:
        with self._lock:
            rows = [self._table.rows.get(task_id) for task_id in task_ids]
            return tuple([None if row is None else row.view() for row in rows])

    async def list_tasks(
        self,
        where: TaskFilter,
        *,
        limit: int = 50,
        after: tuple[int, str] | None = None,
        newest_first: bool = True,
    ) -> TaskPage:
        with self._lock:
            return page(self._table.rows.values(), where, limit=limit, after=after, newest_first=newest_first)

    async def read_logs(
        self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> tuple[LogLine, ...]:
        with self._lock:
            return lines_of(self._table.rows.get(task_id), attempt=attempt, after=after, limit=limit)

    async def read_attempts(self, task_id: str) -> tuple[Attempt, ...]:
        with self._lock:
            row = self._table.rows.get(task_id)
            return tuple(row.attempts or ()) if row is not None else ()

    async def recent_attempts(self, function: str, *, limit: int = 200, among: int = 10_000) -> tuple[Attempt, ...]:
        with self._lock:
            return recent(self._table.rows.values(), function, limit=limit, among=among)

    async def count_ahead(self, task: Task, *, limit: int = 10_000) -> int:
        with self._lock:
            return ahead(self._table, task, limit)
