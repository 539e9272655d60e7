"""The memory storage's holds: rows that no live worker may take are parked, and freed by one that may."""

from __future__ import annotations

from heapq import nsmallest

from angelica.clock import Now
from angelica.domain.lanes import Offer, known_lane, may_take, unmet
from angelica.domain.reasons import NO_CAPABLE_WORKER, UNKNOWN_FUNCTION
from angelica.storage.memory_table import Table
from angelica.storage.protocol import WorkerInfo


def offer_of(info: WorkerInfo) -> Offer:
    """Return what a worker has."""
    return Offer(info.labels, info.functions)


def free(table: Table, info: WorkerInfo, limit: int) -> int:
    """Free what was held for want of a worker like this one, `limit` at most; return how many."""
    offer = offer_of(info)
    unknown = [row for row in table.parked(UNKNOWN_FUNCTION) if row.spec.function in offer.functions]
    known = nsmallest(limit, unknown, key=lambda row: (row.spec.function, row.spec.id))
    for row in known:
        row.lane = known_lane(row.lane, row.spec.function)
        table.unpark(row)
    unmet_rows = [row for row in table.parked(NO_CAPABLE_WORKER) if may_take(row.lane, offer)]
    capable = nsmallest(limit - len(known), unmet_rows, key=lambda row: (row.lane, row.spec.id))
    for row in capable:
        table.unpark(row)
    return len(known) + len(capable)


def park_unmet(table: Table, *, now: Now, limit: int) -> int:
    """Hold ready rows that no live worker may take; return how many."""
    offers = [
        offer_of(holder.info)
        for holder in table.holders.values()
        if holder.info is not None and holder.control == "run" and not holder.void(now.tick, now.boot)
    ]
    count = 0
    for queue, lane in sorted(table.lanes.all()):
        rule = unmet(lane, offers)
        if rule is None:
            continue
        for row in table.lanes.first(queue, lane, limit - count):
            table.park(row, rule)
            count += 1
    return count
