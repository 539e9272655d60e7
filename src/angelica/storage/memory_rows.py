"""The memory storage's row: one task as it stands, changed in place, and the frozen `Task` made of it."""

from __future__ import annotations

from typing import Final

from angelica.domain.task import TERMINAL, Attempt, NewTask, State, Task, TaskError
from angelica.domain.usage import Usage
from angelica.domain.value import maker
from angelica.storage.protocol import LogLine

_task: Final = maker(Task)


class Row:
    """One stored task.

    `lane` is what it needs of a worker. `ticket` names the one live entry of this row in a heap of ready or scheduled
    rows (0 = in none): whatever else lies there under another ticket is dead and skipped. `tally` is the counter of
    its queue, by state.

    Most tasks never touch the fields below: they stand at the class until a row has its own.
    """

    __slots__ = (
        "__dict__",
        "attempt",
        "finished_at",
        "lane",
        "retain_until",
        "revision",
        "run_at",
        "spec",
        "started_at",
        "state",
        "tally",
        "ticket",
        "worker",
    )

    failures = 0
    crashes = 0
    cancel_requested = False
    held: str | None = None
    cancel_reason: str | None = None
    result: str | None = None
    error: TaskError | None = None
    checkpoint: str | None = None
    progress: str | None = None
    usage: Usage | None = None
    attempts: list[Attempt] | None = None
    logs: dict[int, list[LogLine]] | None = None

    def __init__(self, spec: NewTask, state: State, tally: dict[State, int]) -> None:
        self.spec = spec
        self.state = state
        self.tally = tally
        self.lane = spec.lane
        self.run_at = spec.run_at
        self.attempt = 0
        self.ticket = 0
        self.revision = 0
        self.worker: str | None = None
        self.started_at: int | None = None
        self.finished_at: int | None = None
        self.retain_until: int | None = None

    @property
    def ready(self) -> bool:
        """Whether a claim may take it."""
        return self.state is State.QUEUED and self.held is None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    def running_as(self, attempt: int) -> bool:
        """Whether it is running as this attempt: the fence."""
        return self.attempt == attempt and self.state is State.RUNNING

    def view(self) -> Task:
        """Return the task as it stands now."""
        return _task(
            self.spec,
            self.state,
            self.attempt,
            self.failures,
            self.crashes,
            self.run_at,
            self.held,
            self.worker,
            self.cancel_requested,
            self.cancel_reason,
            self.started_at,
            self.finished_at,
            self.result,
            self.error,
            self.checkpoint,
            self.progress,
            self.revision,
            self.usage,
        )
