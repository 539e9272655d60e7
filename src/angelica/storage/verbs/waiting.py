"""Ending tasks that have not begun."""

from __future__ import annotations

from collections.abc import Sequence

from angelica.clock import Now
from angelica.domain.task import Task, TaskError
from angelica.storage.protocol import Topic
from angelica.storage.rows import error_text, to_json
from angelica.storage.verbs.transaction import Over, Transaction


async def cancel_waiting(tx: Transaction, tasks: Sequence[tuple[Task, TaskError]], *, now: Now) -> None:
    """End tasks that have not started as cancelled, each for its reason."""
    rows = []
    for task, error in tasks:
        rows.append((task.spec.id, error_text(error), now.wall, now.wall + task.spec.policy.retention))
        tx.count(task.spec.queue, task.state, -1)
        tx.count(task.spec.queue, "cancelled", 1)
        schedule_id = task.spec.extras.schedule_id
        if schedule_id is not None:
            tx.over.append(Over(schedule_id, task.spec.id, now.wall, failed=None))
    if rows:
        await tx.run("cancel_waiting", to_json(rows))
        tx.topics.add(Topic.ENDED)
