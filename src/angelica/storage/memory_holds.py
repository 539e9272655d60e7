"""The memory storage's holds: rows that no live worker may take are parked, and freed by one that may."""

from __future__ import annotations

from heapq import nsmallest

from angelica.clock import Now
from angelica.domain.lanes import known_lane, may_take, unmet
from angelica.domain.placement import Peer
from angelica.domain.reasons import NO_CAPABLE_WORKER, NO_WORKER_FITS, UNKNOWN_FUNCTION
from angelica.storage.memory_table import Table
from angelica.storage.protocol import WorkerInfo


def free(table: Table, info: WorkerInfo, limit: int) -> int:
    """Free what was held for want of a worker like this one, `limit` at most; return how many."""
    offer = info.offer
    unknown = [row for row in table.parked(UNKNOWN_FUNCTION) if row.spec.function in offer.functions]
    known = nsmallest(limit, unknown, key=lambda row: (row.spec.function, row.spec.id))
    for row in known:
        row.lane = known_lane(row.lane, row.spec.function)
        table.unpark(row)
    count = len(known)
    for rule in (NO_CAPABLE_WORKER, NO_WORKER_FITS):
        rows = [row for row in table.parked(rule) if may_take(row.lane, offer)]
        first = nsmallest(limit - count, rows, key=lambda row: (row.lane, row.spec.id))
        for row in first:
            table.unpark(row)
        count += len(first)
    return count


def peers(table: Table, *, now: Now) -> list[Peer]:
    """Return the live workers that are to run."""
    infos = [
        holder.info
        for holder in table.holders.values()
        if holder.info is not None and holder.control == "run" and not holder.void(now.tick, now.boot)
    ]
    return [Peer(info.id, info.offer, info.queues, info.select) for info in infos]


def park_unmet(table: Table, *, now: Now, limit: int) -> int:
    """Hold ready rows that no live worker may take; return how many."""
    offers = [peer.offer for peer in peers(table, now=now)]
    count = 0
    for queue, lane in sorted(table.lanes.all()):
        rule = unmet(lane, offers)
        if rule is None:
            continue
        for row in table.lanes.first(queue, lane, limit - count):
            table.park(row, rule)
            count += 1
    return count
