"""Events: facts about what happened, emitted once by whoever made the storage call, after it returned."""

from __future__ import annotations

from dataclasses import dataclass

from angelica.domain.lifecycle import Completion
from angelica.domain.schedule import Firing
from angelica.domain.task import NewTask, Task


@dataclass(frozen=True, slots=True)
class TasksSubmitted:
    """New tasks are in the store."""

    tasks: tuple[NewTask, ...]


@dataclass(frozen=True, slots=True)
class TasksClaimed:
    """A worker holds these tasks."""

    worker: str
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class TasksEnded:
    """Completions that the store accepted, with the tasks they ended."""

    ends: tuple[tuple[Task, Completion], ...]


@dataclass(frozen=True, slots=True)
class TasksCancelled:
    """Waiting tasks that a cancel or a lapse ended before they started."""

    task_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """A late write of an attempt that is no longer the current one was refused by its fence."""

    worker: str
    verb: str
    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker's lease ran out or its process is gone; its tasks were settled."""

    worker: str
    crashed: int
    released: int


@dataclass(frozen=True, slots=True)
class SchedulesFired:
    """Firings that the store accepted; `lag` (microseconds) is how late the earliest of them was found."""

    firings: tuple[Firing, ...]
    lag: int = 0


@dataclass(frozen=True, slots=True)
class ScheduleChanged:
    """A schedule was `created`, `updated`, `paused`, `resumed`, `orphaned` or `deleted`."""

    schedule_id: str
    change: str


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine is now `RUNNING`, `SHUTDOWN` or `TERMINATED`."""

    state: str


Event = (
    TasksSubmitted
    | TasksClaimed
    | TasksEnded
    | TasksCancelled
    | WriteRefused
    | WorkerLost
    | SchedulesFired
    | ScheduleChanged
    | EngineState
)
