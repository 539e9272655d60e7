"""What runs here: the attempt that the current thread or asyncio task is executing, if any."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol


class LineSink(Protocol):
    """Takes what an attempt writes."""

    def write(self, running: Running, stream: str, level: str, logger: str, message: str) -> None:
        """Record one line (or several, split at newlines) of `running`; any thread; never raises, never blocks."""
        ...

    def feed(self, running: Running, stream: str, text: str) -> None:
        """Take raw text of an output stream: a line is recorded when its end comes, the rest when the attempt ends."""
        ...

    def drop(self, running: Running, reason: str, lines: int, size: int) -> None:
        """Count lines, with `size` bytes of text, that were dropped on their way here."""
        ...


class Running:
    """One attempt in execution, as loggers see it. `log` is owned by the sink: None until the first line."""

    __slots__ = ("attempt", "function", "log", "queue", "sink", "task_id", "trace_id")

    def __init__(self, task_id: str, attempt: int, function: str, queue: str, trace_id: str, sink: LineSink) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.function = function
        self.queue = queue
        self.trace_id = trace_id
        self.sink = sink
        self.log: object = None


CURRENT: Final[ContextVar[Running | None]] = ContextVar("angelica_current", default=None)
