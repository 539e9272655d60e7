"""Promoting, cancelling, deleting and pruning tasks."""

from __future__ import annotations

from collections.abc import Sequence

from angelica.clock import DAY, Now
from angelica.domain import reasons
from angelica.domain.task import TERMINAL, TaskError
from angelica.storage.protocol import CancelStatus, FunctionRow, Promoted, Topic
from angelica.storage.rows import task_of, to_json
from angelica.storage.verbs.runs import settle_runs
from angelica.storage.verbs.schedules import prune_schedules
from angelica.storage.verbs.transaction import Transaction
from angelica.storage.verbs.waiting import cancel_waiting


async def promote(tx: Transaction, *, now: Now, limit: int) -> Promoted:
    """Make the oldest scheduled tasks that are due ready."""
    rows = await tx.rows("due_rows", now.wall, limit)
    if rows:
        await tx.run("promote", to_json(rows))
        tx.topics.add(Topic.READY)
        for _, queue in rows:
            tx.count(queue, "scheduled", -1)
            tx.count(queue, "queued", 1)
    return Promoted(len(rows), await tx.value("next_due"))


async def cancel(tx: Transaction, task_ids: Sequence[str], *, reason: str, now: Now) -> tuple[CancelStatus, ...]:
    """Cancel as if one by one: a repeated id meets what its first place has done."""
    rows = await tx.rows("standing_tasks", to_json(list(dict.fromkeys(task_ids))))
    standing = {task.spec.id: task for task in (task_of(row) for _, row in rows)}
    waiting = []
    running = []
    ended: set[str] = {task.spec.id for task in standing.values() if task.state in TERMINAL}
    statuses: list[CancelStatus] = []
    for task_id in task_ids:
        task = standing.get(task_id)
        if task is None:
            statuses.append("missing")
        elif task_id in ended:
            statuses.append("finished")
        elif task.state == "running":
            statuses.append("requested")
            if not task.cancel_requested:
                running.append(task_id)
        else:
            statuses.append("cancelled")
            waiting.append((task, TaskError(reasons.CANCELLED, message=reason, attempt=task.attempt)))
            ended.add(task_id)
    await cancel_waiting(tx, waiting, now=now)
    if running:
        await tx.run("request_cancel", to_json(running), reason)
        tx.topics.add(Topic.CONTROL)
    await settle_runs(tx, now=now)
    return tuple(statuses)


async def delete(tx: Transaction, task_ids: Sequence[str]) -> tuple[bool, ...]:
    """Delete ended tasks with all that belongs to them."""
    rows = await tx.rows("ended_rows", to_json(task_ids))
    await _delete_rows(tx, rows)
    gone = {row[0] for row in rows}
    answers = []
    for task_id in task_ids:
        answers.append(task_id in gone)
        gone.discard(task_id)
    return tuple(answers)


async def prune(tx: Transaction, *, now: Now, limit: int) -> int:
    """Delete what has been kept long enough; return how many tasks, or fire records if these were more."""
    rows = await tx.rows("outdated_rows", now.wall, limit)
    await _delete_rows(tx, rows)
    await tx.run("delete_requests", now.wall)
    await tx.run("delete_workers", now.wall - DAY)
    return max(len(rows), await prune_schedules(tx, now=now, limit=limit))


async def recount(tx: Transaction) -> int:
    """Set the counters to what is there; return how many said otherwise. Nobody else may write meanwhile."""
    wrong = await tx.rows("wrong_counts")
    if wrong:
        await tx.run("forget_counts")
        await tx.run("recount")
    return len(wrong)


async def put_functions(tx: Transaction, rows: Sequence[FunctionRow]) -> None:
    """Upsert what code declares."""
    columns = [(f.name, f.version, f.executor, f.schema, f.defaults, f.doc, f.seen_at) for f in rows]
    await tx.run("put_functions", to_json(columns))


async def _delete_rows(tx: Transaction, rows: Sequence[tuple[str, str, str]]) -> None:
    if not rows:
        return
    text = to_json(rows)
    for verb in ("delete_logs", "delete_attempts", "delete_labels", "delete_rows"):
        await tx.run(verb, text)
    for _, queue, state in rows:
        tx.count(queue, state, -1)
