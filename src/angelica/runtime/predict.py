"""When a waiting task will start: looks up what `domain.prediction` needs to know of its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.prediction import Line, predict
from angelica.domain.reasons import Why
from angelica.domain.task import State, Task
from angelica.runtime.fleet import takes
from angelica.storage.protocol import Storage, TaskFilter, WorkerRow

SAMPLE: Final = 200
"""How many of the latest that ended say how long they take and how fast the line moves."""
_ENDED: Final = frozenset({State.SUCCEEDED, State.FAILED})
_LINED_UP: Final = frozenset({reasons.AHEAD, reasons.SCHEDULED, reasons.BACKOFF})


async def with_start(why: Why, task: Task, storage: Storage) -> Why:
    """Return `why` with the predicted start of the task, where it stands in a line that moves."""
    if why.code not in _LINED_UP or (why.code == reasons.AHEAD and "ahead" not in why.params):
        return why
    if "tenant" in why.params:  # how often its turn comes depends on what other tenants still bring
        return why
    rows, now = await storage.list_workers(), await storage.time()
    slots, free = room_for(task, rows, now)
    if not slots:
        return why
    ahead = await storage.count_ahead(task) if why.position is None else why.position - 1
    ended = await _latest(task, storage)
    line = Line(
        ahead=ahead,
        slots=slots,
        free=free,
        run_times=[each.finished_at - each.started_at for each in ended if each.finished_at and each.started_at],
        ends=[each.finished_at for each in ended if each.finished_at],
        since=max(task.run_at, task.spec.created_at),
        not_before=task.run_at if why.code != reasons.AHEAD else 0,
    )
    return replace(why, start=predict(line, now))


def room_for(task: Task, rows: Sequence[WorkerRow], now: Now) -> tuple[int, int]:
    """Return how many slots of live workers serve the task's line, and how many of these are idle.

    What a worker runs is known as a whole and not by kind of executor: all of it counts as of this kind, which says
    too few are idle rather than too many.
    """
    slots = free = 0
    for row in rows:
        info = row.info
        requires = task.spec.extras.requires
        if (
            not takes(row, now)
            or (info.queues is not None and task.queue not in info.queues)
            or task.function not in info.functions
            or any(info.labels.get(name) != value for name, value in requires.items())
        ):
            continue
        own = min(info.capacity.get(task.spec.executor, info.slots), info.slots)
        slots += own
        free += max(own - row.running, 0)
    return slots, free


async def _latest(task: Task, storage: Storage) -> Sequence[Task]:
    """Return the tasks of the queue that ended and came before this one: those behind it have not started."""
    where = TaskFilter(states=_ENDED, queues=(task.queue,), created_before=task.spec.created_at + 1)
    return (await storage.list_tasks(where, limit=SAMPLE)).items
