"""Workers: their heartbeats, what they hold in vain or without knowing, and those that are gone."""

from __future__ import annotations

from collections.abc import Sequence

from angelica.clock import Now
from angelica.domain import reasons
from angelica.domain.lanes import known_lane, may_take, unmet
from angelica.domain.reasons import UNKNOWN_FUNCTION
from angelica.domain.task import Lease, Task
from angelica.storage.protocol import Beat, BeatReply, Control, ControlStatus, Topic, WorkerInfo
from angelica.storage.rows import peer_of, task_of, to_json, worker_text
from angelica.storage.verbs.transaction import Statements, Transaction


async def beat(tx: Transaction, told: Beat, *, limit: int) -> BeatReply:
    """Renew the one row that carries the leases of a worker, and compare what it holds with what stands."""
    info = told.worker
    control = await tx.value(
        "put_worker", info.id, info.host, info.boot, told.lease_until, told.seen_at, worker_text(info)
    )
    if told.started:
        await tx.run("mark_started", to_json(told.started), info.id)
    runs = control in (None, "run")
    more = runs and await free_held(tx, info, limit=limit) >= limit
    running = {row[0]: row for row in await tx.rows("held_leases", info.id)}
    believed = {(task_id, attempt) for task_id, attempt in told.held}
    lost = tuple(
        Lease(task_id, attempt)
        for task_id, attempt in told.held
        if task_id not in running or running[task_id][1] != attempt
    )
    cancel = tuple((row[0], row[3] or reasons.CANCELLED) for row in running.values() if row[2] == 1)
    strays = [row[0] for row in running.values() if (row[0], row[1]) not in believed]
    return BeatReply(lost, cancel, await _tasks(tx, strays) if strays else (), control or "run", more)


async def control(tx: Transaction, workers: Sequence[str], *, control: Control) -> tuple[ControlStatus, ...]:
    """Write down what workers are to do; one that is to stop does not change its mind."""
    standing = dict(await tx.rows("controls", to_json(list(dict.fromkeys(workers)))))
    free = [name for name, stands in standing.items() if stands != "stop" or control == "stop"]
    if free:
        await tx.run("put_control", to_json(free), control)
        tx.topics.add(Topic.CONTROL)
    return tuple("missing" if name not in standing else "done" if name in free else "stopping" for name in workers)


async def end_worker(tx: Transaction, worker: str) -> int:
    """Void the lease of a worker, or remove it if it holds nothing; return how many tasks it holds."""
    running = int(await tx.value("count_running", worker))
    await tx.run("void_lease" if running else "delete_worker", worker)
    return running


async def expired(tx: Transaction, *, now: Now, limit: int) -> tuple[Task, ...]:
    """Return running tasks whose lease is over."""
    return tuple(task_of(row) for row in await tx.rows("expired_rows", now.tick, now.boot, limit))


async def has_needs(db: Statements) -> bool:
    """Whether any ready row needs more of a worker than a kind of executor."""
    return bool(await db.rows("ready_lanes"))


async def park_unmet(tx: Transaction, *, now: Now, limit: int) -> int:
    """Hold ready rows that no live worker may take; return how many."""
    lanes = await tx.rows("ready_lanes")
    offers = [peer_of(row).offer for row in await tx.rows("offers", now.tick, now.boot, 1)]
    count = 0
    for queue, lane in sorted(lanes):
        rule = unmet(lane, offers)
        if rule is not None and count < limit:
            count += await tx.run("park_lane", queue, lane, limit - count, rule)
    return count


async def free_held(tx: Transaction, worker: WorkerInfo, *, limit: int) -> int:
    """Free what was held for want of a worker like this one, `limit` at most; return how many."""
    offer = worker.offer
    count = 0
    if offer.functions:
        # In order, so that workers which free the same tasks wait for each other and never in a ring.
        rows = await tx.rows("parked_rows", UNKNOWN_FUNCTION, to_json(sorted(offer.functions)), limit)
        if rows:
            await tx.run("unpark", to_json([(id_, known_lane(lane, name)) for id_, lane, name in rows]))
        count = len(rows)
    for look, verb in (("parked_lanes", "unpark_lanes"), ("oversized_lanes", "free_oversized")):
        lanes = [lane for lane in await tx.rows(look) if may_take(lane, offer)] if count < limit else []
        if lanes:
            count += await tx.run(verb, to_json(sorted(lanes)), limit - count)
    if count:
        tx.topics.add(Topic.READY)
    return count


async def _tasks(tx: Transaction, ids: list[str]) -> tuple[Task, ...]:
    found = dict(await tx.rows("tasks_by_ids", to_json(ids)))
    return tuple(task_of(found[position]) for position in range(len(ids)))
