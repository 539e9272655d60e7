"""The memory storage's holds: rows that no live worker may take are parked, and freed by one that may."""

from __future__ import annotations

from angelica.clock import Now
from angelica.domain.lanes import known_lane, may_take, unmet
from angelica.domain.placement import Peer
from angelica.domain.reasons import NO_CAPABLE_WORKER, NO_WORKER_FITS, UNKNOWN_FUNCTION
from angelica.storage.memory_table import Holder, Table


def free(table: Table, holder: Holder) -> None:
    """Free what was held for want of a worker like this one."""
    info = holder.info
    if info is None or holder.control != "run":
        return
    offer = info.offer
    for row in table.parked(UNKNOWN_FUNCTION):
        if row.spec.function in offer.functions:
            row.lane = known_lane(row.lane, row.spec.function)
            table.unpark(row)
    for row in (*table.parked(NO_CAPABLE_WORKER), *table.parked(NO_WORKER_FITS)):
        if may_take(row.lane, offer):
            table.unpark(row)


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
