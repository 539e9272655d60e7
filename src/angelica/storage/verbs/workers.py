"""Workers: their heartbeats, what they hold in vain or without knowing, and those that are gone."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.task import Lease, Task
from angelica.storage.protocol import Beat, BeatReply, Topic
from angelica.storage.rows import task_of, to_json, worker_text
from angelica.storage.verbs.transaction import Transaction


async def beat(tx: Transaction, told: Beat) -> BeatReply:
    """Renew the one row that carries the leases of a worker, and compare what it holds with what stands."""
    info = told.worker
    await tx.run("put_worker", info.id, info.host, info.boot, told.lease_until, told.seen_at, worker_text(info))
    if told.started:
        await tx.run("mark_started", to_json(told.started), info.id)
    if info.functions:
        await _free(tx, reasons.UNKNOWN_FUNCTION, info.functions)
    running = {row[0]: row for row in await tx.rows("held_leases", info.id)}
    believed = {(task_id, attempt) for task_id, attempt in told.held}
    lost = tuple(
        Lease(task_id, attempt)
        for task_id, attempt in told.held
        if task_id not in running or running[task_id][1] != attempt
    )
    cancel = tuple((row[0], row[3] or reasons.CANCELLED) for row in running.values() if row[2] == 1)
    strays = [row[0] for row in running.values() if (row[0], row[1]) not in believed]
    return BeatReply(lost, cancel, await _tasks(tx, strays) if strays else ())


async def end_worker(tx: Transaction, worker: str) -> int:
    """Void the lease of a worker, or remove it if it holds nothing; return how many tasks it holds."""
    running = int(await tx.value("count_running", worker))
    await tx.run("void_lease" if running else "delete_worker", worker)
    return running


async def expired(tx: Transaction, *, now: Now, limit: int) -> tuple[Task, ...]:
    """Return running tasks whose lease is over."""
    return tuple(task_of(row) for row in await tx.rows("expired_rows", now.tick, now.boot, limit))


async def _free(tx: Transaction, rule: str, functions: tuple[str, ...]) -> None:
    rows = await tx.rows("parked_rows", rule, to_json(functions))
    if rows:
        await tx.run("unpark", to_json(rows))
        tx.topics.add(Topic.READY)


async def _tasks(tx: Transaction, ids: list[str]) -> tuple[Task, ...]:
    found = dict(await tx.rows("tasks_by_ids", to_json(ids)))
    return tuple(task_of(found[position]) for position in range(len(ids)))
