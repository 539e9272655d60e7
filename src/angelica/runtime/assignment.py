"""The assignment: one claimed task on its way through this worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from angelica.current import LineSink, Running
from angelica.domain.task import Lease, Task
from angelica.runtime.functions import Function


class Assignment(Running):
    """A claimed task with the function that runs it (`call` is its handler inside the middleware).

    `started_at` is the wall moment (microseconds) when the handler began, None before. `ends_by` is the wall moment
    when the attempt times out. `stop_reason` says why the handler was told to stop: `timeout`, `cancel`, `release`
    or `lost`; None while nobody did. `interrupt` stops the handler; set while it runs. `finished` is set once its
    end is known. `contexts` makes the user's view of it.
    """

    __slots__ = (
        "call",
        "code",
        "contexts",
        "ends_by",
        "finished",
        "interrupt",
        "slot",
        "started_at",
        "stop_message",
        "stop_reason",
        "task",
    )

    def __init__(
        self,
        task: Task,
        function: Function[..., Any],
        call: Callable[..., Any],
        sink: LineSink,
        slot: int,
        contexts: Callable[[Assignment], Any],
    ) -> None:
        spec = task.spec
        self.task_id = spec.id
        self.attempt = task.attempt
        self.function = spec.function
        self.queue = spec.queue
        self.trace_id = spec.trace_id
        self.sink = sink
        self.log = None
        self.task = task
        self.code = function
        self.call = call
        self.slot = slot
        self.contexts = contexts
        self.started_at: int | None = None
        self.ends_by: int | None = None
        self.stop_reason: str | None = None
        self.stop_message = ""
        self.finished = False
        self.interrupt: Callable[[], object] | None = None

    @property
    def lease(self) -> Lease:
        return Lease(self.task_id, self.attempt)

    def stop(self, reason: str, message: str = "") -> bool:
        """Tell the handler to stop; the first reason stands. Return whether it was running."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.stop_message = message
        if self.interrupt is None:
            return False
        self.interrupt()
        return True
