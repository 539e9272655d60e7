"""Fitting: tasks that need more of a machine than any live worker has to give, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.reasons import Why
from angelica.domain.resources import Capacity, shown
from angelica.domain.task import Task
from angelica.runtime.fleet import takes
from angelica.runtime.intake import Accepted, Replies
from angelica.storage.protocol import Storage, WorkerRow


async def warned(replies: Replies, storage: Storage) -> Replies:
    """Return replies with a warning at each task that is larger than every live worker: it waits for another."""
    rows, now = await storage.list_workers(), await storage.time()
    items = [
        replace(each, warnings=(found.text,))
        if isinstance(each, Accepted) and (found := no_worker_fits(each.task, rows, now)) is not None
        else each
        for each in replies.items
    ]
    return replace(replies, items=tuple(items))


def no_worker_fits(task: Task, rows: Sequence[WorkerRow], now: Now) -> Why | None:
    """Return that a task needs more than any live worker has, None if one has it or none is alive."""
    resources = task.spec.extras.resources
    live = [row.info for row in rows if takes(row, now)] if resources else []
    if not live or any(Capacity(info.cpu, info.memory).fits(resources) for info in live):
        return None
    largest = {name: max(getattr(info, name) for info in live) for name in ("cpu", "memory")}
    text = f"It needs {shown(resources)}, and no live worker has that to give: at most {shown(largest)}."
    return Why(reasons.NO_WORKER_FITS, {"needs": dict(resources), "largest": largest}, text=text)
