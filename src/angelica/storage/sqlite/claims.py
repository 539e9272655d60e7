"""Claiming: the levels of each lane by a loose index walk, then the rows in order, taken by their ids.

Lanes that the worker may not take are seen once, by their names, and never walked over.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import apsw

from angelica.clock import Now
from angelica.domain.claims import rank_levels, rotate, share_out
from angelica.domain.lanes import kind_of, may_take
from angelica.domain.lifecycle import lapsed
from angelica.domain.placement import Spare
from angelica.domain.task import Task, TaskError
from angelica.storage.limit_rules import VERSION
from angelica.storage.protocol import Claim
from angelica.storage.rows import claimed_of, from_json, task_of, to_json
from angelica.storage.sqlite.transaction import SqliteTransaction
from angelica.storage.verbs.limited import claim_limited
from angelica.storage.verbs.placing import heads_of, spare_for
from angelica.storage.verbs.transaction import Taken, Value
from angelica.storage.verbs.waiting import cancel_waiting

Row = list[Any]
Levels = dict[str, list[tuple[str, int, int]]]


async def claim_tasks(tx: SqliteTransaction, claim: Claim, *, now: Now) -> Taken:
    """Claim what fits."""
    hand = _Hand(tx, claim, now)
    queues = None if claim.queues is None else list(dict.fromkeys(claim.queues))
    limited = await tx.value("meta", VERSION) is not None
    kinds = [(executor, room) for executor, room in claim.room if room > 0]
    if claim.wanted <= 0 or not kinds or queues == []:
        return await hand.finish()
    if queues is not None and len(queues) == len(kinds) == 1 and hand.select is None:
        ((executor, room),) = kinds
        shut = set(await tx.rows("governing")) if limited else None
        if hand.start_lane(queues[0], executor, min(room, claim.wanted), shut):
            return await hand.finish()
    if limited:
        return await claim_limited(tx, claim, now=now)
    found = _look(hand, claim, [executor for executor, _ in kinds], queues)
    hand.spare = await spare_for(tx, claim, heads_of(found), now=now)
    seen = _sorted_out(found)
    wanted = claim.wanted
    for executor, room in kinds:
        left = min(room, wanted)
        levels = seen.get(executor, {})
        while left > 0 and levels:
            names = rotate(sorted(levels) if queues is None else queues, claim.turn)
            count, clean = await _take(hand, names, left, levels)
            left -= count
            wanted -= count
            if clean:
                break
            # What lapsed left room: look again, at rows that the ones in hand are out of.
            hand.take()
            levels = _sorted_out(_look(hand, claim, [executor], queues)).get(executor, {})
    return await hand.finish()


def _look(hand: _Hand, claim: Claim, kinds: Sequence[str], queues: Sequence[str] | None) -> list[Row]:
    """Return the levels (lane, queue, priority, oldest `run_at`) that the worker may take."""
    found = hand.look("levels", to_json(kinds), None if queues is None else to_json(queues))
    offer = claim.offer
    return [level for level in found if may_take(level[0], offer)]


def _sorted_out(found: Sequence[Row]) -> dict[str, Levels]:
    """Return levels (lane, priority, oldest `run_at`) by kind and queue."""
    levels: dict[str, Levels] = {}
    for lane, queue, priority, oldest in found:
        levels.setdefault(kind_of(lane), {}).setdefault(queue, []).append((lane, priority, oldest))
    return levels


async def _take(hand: _Hand, queues: Sequence[str], wanted: int, levels: Levels) -> tuple[int, bool]:
    """Take one share-out; return how many were started, and whether no room is left open by lapsed tasks."""
    busy = [queue for queue in queues if queue in levels]
    spare = hand.spare.copy()  # what lapses leaves its room to the next look
    shares = dict.fromkeys(busy, wanted)
    if len(busy) > 1:
        counts = [_count(hand, queue, levels.get(queue, ()), wanted) for queue in queues]
        shares = dict(zip(queues, share_out(wanted, counts), strict=True))
    found = started = 0
    for queue in busy:
        left = shares[queue]
        for lane, priority in rank_levels(levels[queue], now=hand.now):
            if left <= 0 or hand.heavy:
                break
            most = min(left, spare.most(queue, lane, priority))
            rows = hand.rows(queue, lane, priority, most) if most else []
            spare.draw(queue, lane, len(rows))
            left -= len(rows)
            found += len(rows)
            started += await hand.start(rows)
    return started, found == started or hand.heavy


def _count(hand: _Hand, queue: str, levels: Sequence[tuple[str, int, int]], most: int) -> int:
    """Return how many rows of these levels' lanes are ready, each lane counted up to `most`."""
    lanes = list(dict.fromkeys(lane for lane, _, _ in levels))
    counts = hand.look("counts", to_json(lanes), queue, most) if lanes else ()
    return sum([min(count, hand.spare.most(queue, lane)) for lane, count in zip(lanes, counts, strict=True)])


class _Hand:
    """What one claim has in hand. Started rows are written by `take`: those of all lanes together.

    `spare` is what the worker has left for those that say what they need. `select` are the labels that tasks must have,
    as JSON text, None for any task. `heavy` ends the claim early: the rows were too large for one value, and what comes
    after them has to wait.
    """

    __slots__ = ("begun", "claimed", "heavy", "lapsed", "now", "select", "spare", "tx", "worker")

    def __init__(self, tx: SqliteTransaction, claim: Claim, now: Now) -> None:
        self.tx = tx
        self.worker = claim.worker
        self.select = to_json(dict(claim.select)) if claim.select else None
        self.now = now
        self.spare = Spare(claim.space)
        self.heavy = False
        self.begun: list[Task] = []
        self.claimed: list[Task] = []
        self.lapsed: list[Task] = []

    async def finish(self) -> Taken:
        """Write what is in hand and return it."""
        self.take()
        return Taken(self.claimed, self.lapsed, self.spare.kept)

    def take(self) -> None:
        """Write the started rows."""
        if self.begun:
            self.tx.do("take", to_json([task.spec.id for task in self.begun]), self.worker)
            for task in self.begun:
                self.tx.count(task.spec.queue, "queued", -1)
                self.tx.count(task.spec.queue, "running", 1)
            self.claimed += self.begun
            self.begun = []

    def start_lane(self, queue: str, executor: str, wanted: int, shut: AbstractSet[str] | None) -> bool:
        """Start the rows of a lane in one look; False (and nothing done) if the look does not settle the claim.

        `shut` are the gates of queues and functions where there are limits at all.
        """
        if shut is not None and f"queue:{queue}" in shut:
            return False
        try:
            text, places, more_levels = self.tx.first("ready_lane", queue, executor, wanted)
        except apsw.TooBigError:
            return False
        rows = from_json(text)
        if more_levels or any(row[14] is not None and self._reason(row) for row in rows):
            return False
        if shut is not None and any(is_limited(row, shut) for row in rows):
            return False
        if rows:
            self.tx.do("take_places", places, self.worker)
            self.claimed = [claimed_of(row, self.worker) for row in rows]
            self.tx.count(queue, "queued", -len(rows))
            self.tx.count(queue, "running", len(rows))
        return True

    def look(self, what: str, *values: Value) -> list[Any]:
        """Return what a statement says of the ready rows, or of those that have the labels."""
        if self.select is None:
            return self.tx.look(f"ready_{what}", *values)
        return self.tx.look(f"selected_{what}", *values, self.select)

    def rows(self, queue: str, executor: str, priority: int, limit: int) -> list[Row]:
        """Return the first rows of a level."""
        try:
            return self.look("rows", queue, executor, priority, limit)
        except apsw.TooBigError:
            if limit == 1:
                raise
            self.heavy = True
            return self.rows(queue, executor, priority, limit // 2)

    async def start(self, rows: Sequence[Row]) -> int:
        """Start the rows that still may, cancel those that may not; return how many were started."""
        over: list[tuple[Task, TaskError]] = []
        before = len(self.begun)
        for row in rows:
            reason = None if row[14] is None else self._reason(row)
            if reason is None:
                if row[14] is not None:
                    self.spare.draw(row[2], row[3], 1)
                self.begun.append(claimed_of(row, self.worker))
            else:
                task = task_of(row)
                over.append((task, TaskError(reason, attempt=task.attempt)))
        if over:
            await cancel_waiting(self.tx, over, now=self.now)
            ids = [task.spec.id for task, _ in over]
            views = dict(await self.tx.rows("tasks_by_ids", to_json(ids)))
            self.lapsed += [task_of(views[position]) for position in range(len(ids))]
        return len(self.begun) - before

    def _reason(self, row: Row) -> str | None:
        """Why a row with rare parts may no longer start, if so."""
        return lapsed(task_of(row).spec, now=self.now)


def is_limited(row: Row, shut: AbstractSet[str]) -> bool:
    """Whether a row has gates besides its queue's to pass; may be wrong to say so."""
    extras = None if row[14] is None else row[14][4]
    return f"function:{row[1]}" in shut or (extras is not None and ('"limits":' in extras or '"uses":' in extras))
