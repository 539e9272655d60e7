"""The claim where there are limits: every row is judged at its gates before it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from angelica.clock import Now
from angelica.domain.claims import rank_levels, rotate, share_out
from angelica.domain.gates import gates_of
from angelica.domain.lanes import kind_of, may_take
from angelica.domain.lifecycle import lapsed
from angelica.domain.placement import Spare, has_needs
from angelica.domain.task import Task, TaskError
from angelica.storage.fair_rules import is_sorted
from angelica.storage.limit_rules import MOST_HELD, VERSION, WINDOW, Doorway
from angelica.storage.protocol import Claim
from angelica.storage.rows import claimed_of, task_of, to_json
from angelica.storage.verbs.fair import rows_in_turn, sort_out
from angelica.storage.verbs.limits import close, meet
from angelica.storage.verbs.placing import heads_of, spare_for
from angelica.storage.verbs.transaction import Taken, Transaction
from angelica.storage.verbs.waiting import cancel_waiting

Levels = dict[str, list[tuple[str, int, int]]]
Row = list[Any]


async def claim_limited(tx: Transaction, claim: Claim, *, now: Now) -> Taken:
    """Claim what fits.

    Whoever claims here holds the one lock of the limits, so what was counted stands until the end.
    """
    await tx.lock("limits", [VERSION])
    hand = _Hand(tx, claim, now)
    queues = None if claim.queues is None else list(dict.fromkeys(claim.queues))
    wanted = claim.wanted
    found = await hand.levels([executor for executor, room in claim.room if min(room, wanted) > 0], queues)
    await hand.keep(found)
    for executor, room in claim.room:
        left = min(room, wanted)
        levels = _by_queue(found, executor)
        while left > 0 and hand.doorway.parked < MOST_HELD:
            names = rotate(sorted(levels) if queues is None else queues, claim.turn)
            before = len(hand.claimed)
            hand.round = hand.spare.copy()  # what is held or lapses leaves its room to the next look
            over = [
                await hand.take(queue, share, levels[queue]) for queue, share in await hand.shares(names, left, levels)
            ]
            left -= len(hand.claimed) - before
            wanted -= len(hand.claimed) - before
            if not any(over):
                break
            levels = _by_queue(await hand.levels([executor], queues), executor)
    await close(tx, hand.doorway, now=now)
    return Taken(hand.claimed, hand.lapsed, hand.spare.kept)


def _by_queue(found: Sequence[Sequence[Any]], kind: str) -> Levels:
    """Return the levels (lane, priority, oldest) of a kind of executor, by queue."""
    levels: Levels = {}
    for lane, queue, priority, oldest in found:
        if kind_of(lane) == kind:
            levels.setdefault(queue, []).append((lane, priority, oldest))
    return levels


class _Hand:
    """What one claim has in hand. `spare` is what the worker has left, `round` what the rows looked at leave of it."""

    def __init__(self, tx: Transaction, claim: Claim, now: Now) -> None:
        self.tx = tx
        self.claim = claim
        self.worker = claim.worker
        self.select = (to_json(dict(claim.select)),) if claim.select else ()
        self.now = now
        self.doorway = Doorway(now)
        self.spare = self.round = Spare(claim.space)
        self.claimed: list[Task] = []
        self.lapsed: list[Task] = []

    async def levels(self, kinds: Sequence[str], queues: Sequence[str] | None) -> list[Sequence[Any]]:
        """Return the levels (lane, queue, priority, oldest) that the worker may take."""
        found = await self.tx.levels(kinds, queues, self.claim.select) if kinds else ()
        offer = self.claim.offer
        return [level for level in found if may_take(level[0], offer)]

    async def keep(self, found: Sequence[Sequence[Any]]) -> None:
        """Keep room for one that is late, if this worker is the one to do that; not in a queue that lets none begin."""
        needy = [level for level in found if has_needs(level[0])]
        if not needy:
            return
        await meet(self.tx, self.doorway, [f"queue:{level[1]}" for level in needy])
        heads = heads_of([level for level in needy if self.doorway.queue_room(level[1]) > 0])
        self.spare = await spare_for(self.tx, self.claim, heads, now=self.now, ageing=self.doorway.ageing)

    async def shares(self, queues: Sequence[str], wanted: int, levels: Levels) -> list[tuple[str, int]]:
        """Share `wanted` out over the queues that have ready rows, each up to the room that its limits leave."""
        await meet(self.tx, self.doorway, [f"queue:{queue}" for queue in queues])
        counts = []
        for queue in queues:
            most = min(wanted, self.doorway.queue_room(queue)) if queue in levels else 0
            if most > 0 and len(queues) > 1:
                most = min(most, sum((await self._counts(queue, levels[queue], most)).values()))
            counts.append(most)
        return [(queue, share) for queue, share in zip(queues, share_out(wanted, counts), strict=True) if share]

    async def take(self, queue: str, share: int, levels: Sequence[tuple[str, int, int]]) -> bool:
        """Take up to `share` rows of these levels of a queue; say whether any of those looked at were ended or held."""
        header = self.doorway.fair(queue)
        if header is not None:
            return await self._take_fairly(queue, share, levels, header)
        size = max(share, WINDOW) if self.doorway.parked else share
        rows: list[Row] = []
        for lane, priority in rank_levels(levels, now=self.now, ageing=self.doorway.ageing(queue)):
            if len(rows) < size:
                found = await self._rows(queue, lane, priority, size - len(rows))
                self.round.draw(queue, lane, len(found))
                rows += found
        return await self._judge(rows, share)

    async def _take_fairly(self, queue: str, share: int, levels: Sequence[tuple[str, int, int]], header: str) -> bool:
        if await sort_out(self.tx, queue, levels, header):
            levels = [(lane, n, at) for lane, _, n, at in await self.levels([kind_of(levels[0][0])], [queue])]
        size = max(share, WINDOW) if self.doorway.parked else share
        counts = await self._counts(queue, [level for level in levels if is_sorted(level[0])], size)
        rows, owners = await rows_in_turn(self.tx, self.doorway, queue, levels, counts, size, self._rows)
        before = len(self.claimed)
        over = await self._judge([row for row in rows if self._has_place(row)], share)
        for task in self.claimed[before:]:
            self.doorway.serve(owners[task.id], task.id)
        return over

    async def _counts(self, queue: str, levels: Sequence[tuple[str, int, int]], most: int) -> dict[str, int]:
        """Return how many rows of these levels' lanes may be taken, each lane counted up to `most`."""
        fits = {lane: min(most, self.round.most(queue, lane)) for lane in dict.fromkeys(lane for lane, _, _ in levels)}
        if max(fits.values(), default=0) <= 1:  # a lane that was seen has one
            return fits
        verb = "selected_counts" if self.select else "ready_counts"
        counts = await self.tx.rows(verb, to_json(list(fits)), queue, most, *self.select)
        return {lane: min(count, fits[lane]) for lane, count in zip(fits, counts, strict=True)}

    async def _rows(self, queue: str, lane: str, priority: int, limit: int) -> list[Row]:
        """Return the first ready rows of a level, or of those that have the labels: as many as fit."""
        most = min(limit, self.round.most(queue, lane, priority))
        verb = "selected_rows" if self.select else "ready_rows"
        return await self.tx.rows(verb, queue, lane, priority, most, *self.select)

    def _has_place(self, row: Row) -> bool:
        """Draw what a row needs, if it fits beside those before it."""
        fits = self.round.most(row[2], row[3], row[4]) > 0
        if fits:
            self.round.draw(row[2], row[3], 1)
        return fits

    async def _judge(self, rows: Sequence[Row], share: int) -> bool:
        tasks = [task_of(row) for row in rows]
        await meet(self.tx, self.doorway, [gate for task in tasks for gate in gates_of(task.spec)])
        begun: list[Task] = []
        held: list[tuple[str, str]] = []
        over: list[tuple[Task, TaskError]] = []
        for row, task in zip(rows, tasks, strict=True):
            reason = lapsed(task.spec, now=self.now)
            if reason is not None:
                over.append((task, TaskError(reason, attempt=task.attempt)))
                continue
            gate = self.doorway.shut(task.spec)
            if gate is not None:
                held.append((task.id, gate))
            elif len(begun) < share:
                self.doorway.enter(task.spec, task.attempt + 1)
                self.spare.draw(row[2], row[3], 1)
                begun.append(claimed_of(row, self.worker))
        await self._start(begun)
        if held:
            await self.tx.run("park", to_json(held))
        if over:
            await self._end(over)
        return bool(held or over)

    async def _start(self, tasks: Sequence[Task]) -> None:
        if tasks:
            await self.tx.run("start", to_json([task.id for task in tasks]), self.worker)
        for task in tasks:
            self.tx.count(task.queue, "queued", -1)
            self.tx.count(task.queue, "running", 1)
        self.claimed += tasks

    async def _end(self, over: Sequence[tuple[Task, TaskError]]) -> None:
        await cancel_waiting(self.tx, over, now=self.now)
        ids = [task.id for task, _ in over]
        views = dict(await self.tx.rows("tasks_by_ids", to_json(ids)))
        self.lapsed += [task_of(views[place]) for place in range(len(ids))]
