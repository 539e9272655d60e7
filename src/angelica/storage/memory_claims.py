"""The memory storage's claim: which ready rows a worker gets, in which order, and which have lapsed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.claims import rotate, share_out
from angelica.domain.lifecycle import lapsed
from angelica.domain.task import Task
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table
from angelica.storage.protocol import Claim


def claim_tasks(table: Table, claim: Claim, *, now: Now) -> tuple[list[Task], list[Task]]:
    """Claim what fits and return (claimed, lapsed), both in the order in which they were taken.

    For each executor kind in order of `room`: up to its room and to what is left of `wanted`, shared over the queues
    in order of turn (where none are named: over those that have ready tasks of this kind), in each from all lanes of
    the kind that the worker may take. Tasks that have lapsed are
    cancelled instead of claimed; what they leave free is shared out again, over the queues as they are then.
    """
    claimed: list[Task] = []
    ended: list[Task] = []
    wanted = claim.wanted
    named = None if claim.queues is None else list(dict.fromkeys(claim.queues))
    for kind, room in claim.room:
        left = min(room, wanted)
        while left > 0:
            open_lanes = table.lanes.open_to(claim.offer, kind)
            queues = rotate(sorted(open_lanes) if named is None else named, claim.turn)
            taken = _take(table, queues, open_lanes, left, now)
            if not taken:
                break
            count = _start(table, claim.worker, taken, claimed, ended, now)
            left -= count
            wanted -= count
            if count == len(taken):
                break
    return claimed, ended


def _take(table: Table, queues: list[str], open_lanes: Mapping[str, Sequence[str]], wanted: int, now: Now) -> list[Row]:
    """Take one share-out of ready rows from the queues."""
    lanes = table.lanes
    if len(queues) == 1:
        return lanes.take_ready(queues[0], open_lanes.get(queues[0], ()), wanted, now=now)
    shares = share_out(wanted, [lanes.ready(queue, open_lanes.get(queue, ())) for queue in queues])
    taken: list[Row] = []
    for queue, share in zip(queues, shares, strict=True):
        if share:
            taken += lanes.take_ready(queue, open_lanes.get(queue, ()), share, now=now)
    return taken


def _start(table: Table, worker: str, rows: list[Row], claimed: list[Task], ended: list[Task], now: Now) -> int:
    """Start the rows that still may, cancel those that may not; return how many were started."""
    running = table.holder(worker).running
    start = table.start
    before = len(claimed)
    for row in rows:
        spec = row.spec
        if spec.expires_at is None and spec.deadline is None:
            claimed.append(start(row, worker, running))
            continue
        reason = lapsed(spec, now=now)
        if reason is None:
            claimed.append(start(row, worker, running))
        else:
            table.cancel(row, reason, now=now)
            ended.append(row.view())
    return len(claimed) - before
