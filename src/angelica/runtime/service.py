"""The service: what HTTP, the CLI and the Python surface ask for, as coroutines over the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from angelica.domain.reasons import Why
from angelica.domain.task import Attempt, State, Task
from angelica.runtime.drafts import Draft
from angelica.storage.protocol import (
    CancelStatus,
    FunctionRow,
    LogLine,
    Request,
    TaskFilter,
    TaskPage,
    WorkerRow,
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One accepted submit: the task as it stands, whether this call created it, and whether it is on disk."""

    task: Task
    created: bool
    durable: bool = True


@dataclass(frozen=True, slots=True)
class Replies:
    """Replies position by position; an item that was refused is the exception that says why."""

    items: tuple[Accepted | Exception, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """`failing` names what is wrong (`store`, `worker`, `engine`), empty when healthy; `detail` says more."""

    failing: tuple[str, ...]
    detail: Mapping[str, Any]


class Service:
    """Bound to one engine's storage, clock, function registry and settings."""

    async def submit(
        self, drafts: Sequence[Draft], *, request: Request | None = None, atomic: bool = False
    ) -> Replies: ...
    async def get(self, task_id: str) -> Task: ...  # raises NotFound
    async def wait(self, task_id: str, timeout: float) -> Task: ...  # the task as it stands then; raises NotFound
    async def list(self, where: TaskFilter, *, limit: int = 50, after: tuple[int, str] | None = None,
                   newest_first: bool = True, durable: bool = True) -> TaskPage: ...
    async def cancel(self, task_id: str, *, reason: str = "") -> tuple[CancelStatus, Task]: ...
    async def retry(self, task_id: str, *, delay: float = 0.0) -> Task: ...  # raises NotFinished
    async def delete(self, task_id: str, *, purge: bool = False) -> tuple[str, Task | None]: ...
    async def why(self, task_id: str) -> Why | None: ...
    async def logs(self, task_id: str, *, attempt: int | None = None, after: tuple[int, int] = (0, 0),
                   limit: int = 1000) -> tuple[LogLine, ...]: ...
    async def attempts(self, task_id: str) -> tuple[Attempt, ...]: ...
    async def functions(self) -> tuple[FunctionRow, ...]: ...
    async def workers(self) -> tuple[WorkerRow, ...]: ...
    async def counts(self) -> Mapping[tuple[str, State], int]: ...
    async def health(self) -> Health: ...
