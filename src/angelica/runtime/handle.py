"""The handle: a submitted task in its caller's hand."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from angelica import strict_json
from angelica.clock import SECOND, tick_micros
from angelica.domain.status import status_of
from angelica.domain.task import NewTask, State, Task
from angelica.errors import TaskCancelled, TaskFailed, WaitTimeout
from angelica.storage.protocol import CancelStatus, LogLine

R = TypeVar("R")
T = TypeVar("T")

FOREVER: Final = 3_600.0
"""Seconds of one long wait, when the caller gave no time-out."""


class Call(Protocol):
    """Runs a coroutine to its end from synchronous code."""

    def __call__(self, coroutine: Coroutine[Any, Any, T], /) -> T: ...


class Desk(Protocol):
    """What a handle asks of the service."""

    async def get(self, task_id: str) -> Task: ...
    async def wait(self, task_id: str, timeout: float) -> Task: ...
    async def cancel(self, task_id: str, *, reason: str = "") -> tuple[CancelStatus, Task]: ...
    async def retry(self, task_id: str, *, delay: float = 0.0) -> Task: ...
    async def logs(self, task_id: str, *, after: tuple[int, int] = (0, 0)) -> tuple[LogLine, ...]: ...


class TaskHandle(Generic[R]):
    """One task. Methods come in pairs: plain ones block, those with `a` in front are awaited.

    What it shows is as of the last call that asked the store; `refresh` asks again. Time-outs are seconds, None
    waits as long as it takes.
    """

    __slots__ = ("_call", "_service", "_spec", "_task", "created", "durable")

    def __init__(
        self,
        task: Task | NewTask,
        service: Desk,
        call: Call,
        *,
        created: bool = True,
        durable: bool = True,
    ) -> None:
        self.created = created
        self.durable = durable
        self._service = service
        self._call = call
        if isinstance(task, Task):
            self._spec = task.spec
            self._task: Task | None = task
        else:
            self._spec = task
            self._task = None  # made when somebody asks: most callers only keep the id, if that

    @property
    def id(self) -> str:
        """The task's id."""
        return self._spec.id

    @property
    def name(self) -> str:
        """The name of its function."""
        return self._spec.function

    @property
    def task(self) -> Task:
        """The task as last read."""
        if self._task is None:
            self._task = Task(self._spec, State.QUEUED, run_at=self._spec.run_at)
        return self._task

    @property
    def state(self) -> State:
        """Its state as last read."""
        return self.task.state

    @property
    def status(self) -> str:
        """`PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or `CANCELLED`, as last read."""
        return status_of(self.task.state)

    async def arefresh(self) -> TaskHandle[R]:
        """Read the task again; raises `NotFound` once it is pruned."""
        self._task = await self._service.get(self.id)
        return self

    def refresh(self) -> TaskHandle[R]:
        """Read the task again; raises `NotFound` once it is pruned."""
        return self._call(self.arefresh())

    async def await_(self, timeout: float | None = None) -> TaskHandle[R]:
        """Wait until the task has ended; raises `WaitTimeout`."""
        ends_at = None if timeout is None else tick_micros() + int(timeout * SECOND)
        while not self.task.is_terminal:
            left = FOREVER if ends_at is None else (ends_at - tick_micros()) / SECOND
            if left <= 0:
                raise WaitTimeout(f"task {self.id} has not ended within {timeout} s; it is {self.task.state}")
            self._task = await self._service.wait(self.id, left)
        return self

    def wait(self, timeout: float | None = None) -> TaskHandle[R]:
        """Wait until the task has ended; raises `WaitTimeout`."""
        return self._call(self.await_(timeout))

    async def aresult(self, timeout: float | None = None) -> R:
        """Wait for the end and return the result; raises `TaskFailed`, `TaskCancelled`, `WaitTimeout`."""
        await self.await_(timeout)
        return self._value()

    def result(self, timeout: float | None = None) -> R:
        """Wait for the end and return the result; raises `TaskFailed`, `TaskCancelled`, `WaitTimeout`."""
        self.wait(timeout)
        return self._value()

    async def acancel(self, reason: str = "") -> CancelStatus:
        """Cancel: `cancelled` if it had not begun, `requested` if it runs, `finished` if it has ended."""
        status, self._task = await self._service.cancel(self.id, reason=reason)
        return status

    def cancel(self, reason: str = "") -> CancelStatus:
        """Cancel: `cancelled` if it had not begun, `requested` if it runs, `finished` if it has ended."""
        return self._call(self.acancel(reason))

    async def aretry(self, delay: float = 0.0) -> TaskHandle[R]:
        """Submit the ended task once more, as a new one; raises `NotFinished`."""
        task = await self._service.retry(self.id, delay=delay)
        return TaskHandle(task, self._service, self._call)

    def retry(self, delay: float = 0.0) -> TaskHandle[R]:
        """Submit the ended task once more, as a new one; raises `NotFinished`."""
        return self._call(self.aretry(delay))

    async def alogs(self) -> tuple[LogLine, ...]:
        """Return the lines that its attempts have written so far."""
        lines: list[LogLine] = []
        while True:
            after = (lines[-1].attempt, lines[-1].seq) if lines else (0, 0)
            page = await self._service.logs(self.id, after=after)
            lines += page
            if not page:
                return tuple(lines)

    def logs(self) -> tuple[LogLine, ...]:
        """Return the lines that its attempts have written so far."""
        return self._call(self.alogs())

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id} {self.name} {self.task.state}>"

    def _value(self) -> R:
        task = self.task
        if task.state is State.SUCCEEDED:
            value: R = None if task.result is None else strict_json.loads(task.result)  # type: ignore[assignment]
            return value
        if task.state is State.CANCELLED:
            error = task.error
            raise TaskCancelled(task.id, (error.message or error.reason) if error else "cancelled")
        raise TaskFailed(task.id, task.error)
