"""The memory storage's claim: which ready rows a worker gets, in which order, and which have lapsed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, islice

from angelica.clock import Now
from angelica.domain.claims import AGEING, rotate, share_out
from angelica.domain.gates import gates_of
from angelica.domain.lanes import kind_of, may_take
from angelica.domain.lifecycle import lapsed
from angelica.domain.placement import Head, Spare, first_late, reserver
from angelica.domain.task import NO_EXTRAS, Task
from angelica.storage.limit_rules import MOST_HELD, WINDOW, Doorway
from angelica.storage.memory_fair import take_fairly
from angelica.storage.memory_holds import peers
from angelica.storage.memory_limits import refill
from angelica.storage.memory_rows import Row
from angelica.storage.memory_select import selected
from angelica.storage.memory_table import Table
from angelica.storage.protocol import Claim
from angelica.storage.verbs.transaction import Taken


def claim_tasks(table: Table, claim: Claim, *, now: Now) -> Taken:
    """Claim what fits.

    For each executor kind in order of `room`: up to its room and to what is left of `wanted`, shared over the queues
    in order of turn (where none are named: over those that have ready tasks of this kind), in each from all lanes of
    the kind that the worker may take, up to the room that the limits of the queue leave. Tasks that have lapsed are
    cancelled instead of claimed, and those that a limit keeps back are held; what they leave free is shared out again,
    over the queues as they are then. Of tasks that say what they need it takes what fits, counted as it is taken.
    """
    hand = _Hand(table, claim, now)
    wanted = claim.wanted
    named = None if claim.queues is None else list(dict.fromkeys(claim.queues))
    hand.keep(named)
    for kind, room in claim.room:
        left = min(room, wanted)
        while left > 0 and hand.parked < MOST_HELD:
            lanes = table.lanes.open_to(claim.offer, kind)
            hand.round = hand.spare.copy()  # what is held or lapses leaves its room to the next look
            queues = hand.queues(lanes) if named is None else named
            shares = hand.shares(rotate(queues, claim.turn), lanes, left)
            before = len(hand.claimed)
            over = [hand.take(queue, lanes.get(queue, ()), share) for queue, share in shares if share]
            left -= len(hand.claimed) - before
            wanted -= len(hand.claimed) - before
            if not any(over):
                break
    hand.finish()
    return Taken(hand.claimed, hand.ended, hand.spare.kept)


class _Hand:
    """What one claim has in hand. `doorway` is None where nothing is limited.

    `spare` is what the worker has left for those that say what they need, `round` what the rows looked at leave of it.
    """

    def __init__(self, table: Table, claim: Claim, now: Now) -> None:
        self.table = table
        self.claim = claim
        self.worker = claim.worker
        self.select = claim.select
        self.now = now
        self.doorway = Doorway(now) if table.gates.stored or table.gates.breakers else None
        self.running = table.holder(claim.worker).running
        self.spare = self.round = Spare(claim.space)
        self.claimed: list[Task] = []
        self.ended: list[Task] = []

    @property
    def parked(self) -> int:
        """How many rows it has held."""
        return 0 if self.doorway is None else self.doorway.parked

    def keep(self, named: Sequence[str] | None) -> None:
        """Keep room for one that is late, if this worker is the one to do that; not in a queue that lets none begin."""
        claim = self.claim
        kinds = [kind for kind, room in claim.room if min(room, claim.wanted) > 0]
        heads = [
            head
            for queue, lane in self.table.lanes.needy()
            if kind_of(lane) in kinds and may_take(lane, claim.offer)
            if named is None or queue in named
            for head in self._heads(queue, lane)
        ]
        if self.doorway is not None:
            self.table.gates.meet(self.doorway, [f"queue:{head.queue}" for head in heads])
            heads = [head for head in heads if self.doorway.queue_room(head.queue) > 0]
        ageing = (lambda _queue: AGEING) if self.doorway is None else self.doorway.ageing
        passed = first_late(heads, claim.space.capacity, now=self.now, ageing=ageing)
        if passed is not None:
            mine = reserver(passed.late, peers(self.table, now=self.now), self.select, now=self.now) == self.worker
            self.spare = Spare(claim.space, passed if mine else None)

    def _heads(self, queue: str, lane: str) -> list[Head]:
        """Return where the first of each level of a lane stands."""
        rows = (
            selected(self.table, queue, [lane], select=self.select, now=self.now)
            if self.select
            else self.table.lanes.heads(queue, lane)
        )
        first: dict[int, int] = {}
        for row in rows:
            first[row.spec.priority] = min(row.run_at, first.get(row.spec.priority, row.run_at))
        return [Head(queue, lane, priority, due) for priority, due in first.items()]

    def queues(self, lanes: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the queues of these lanes in which there is something for the worker: only they have their turn."""
        if not self.select:
            return sorted(lanes)
        return [
            queue
            for queue in sorted(lanes)
            if selected(self.table, queue, lanes[queue], select=self.select, now=self.now)
        ]

    def shares(self, queues: Sequence[str], lanes: Mapping[str, Sequence[str]], wanted: int) -> list[tuple[str, int]]:
        """Share `wanted` out over the queues."""
        if self.doorway is None and len(queues) == 1:
            return [(queues[0], wanted)]
        counts = [self._ready(queue, lanes.get(queue, ())) for queue in queues]
        if self.doorway is not None:
            self.table.gates.meet(self.doorway, [f"queue:{queue}" for queue in queues])
            rooms = [self.doorway.queue_room(queue) for queue in queues]
            counts = [min(pair) for pair in zip(counts, rooms, strict=True)]
        return list(zip(queues, share_out(wanted, counts), strict=True))

    def take(self, queue: str, lanes: Sequence[str], share: int) -> bool:
        """Take up to `share` rows of these lanes of a queue; say whether any of those looked at were ended or held."""
        doorway = self.doorway
        if doorway is None:
            rows = self._take(queue, lanes, share, AGEING)
            return self._start(rows) < len(rows)
        if doorway.fair(queue) is not None:
            return self._take_fairly(doorway, queue, lanes, share)
        size = max(share, WINDOW) if doorway.parked else share
        rows = self._take(queue, lanes, size, doorway.ageing(queue))
        return self._judge(doorway, rows, share)

    def finish(self) -> None:
        """Write down who has passed which gate, and let others go on."""
        doorway = self.doorway
        if doorway is None:
            return
        gates = self.table.gates
        for gate, task_id, at in doorway.passes:
            gates.count(gate, task_id, at)
        gates.buckets.update(doorway.charged())
        gates.breakers.update(doorway.tried())
        gates.served.update(doorway.served)
        if doorway.wake:
            refill(self.table, doorway.wake, now=self.now)

    def _take_fairly(self, doorway: Doorway, queue: str, lanes: Sequence[str], share: int) -> bool:
        ageing = doorway.ageing(queue)
        rows, owners = take_fairly(
            self.table,
            doorway,
            queue,
            lanes,
            max(share, WINDOW) if doorway.parked else share,
            ready=lambda mine: self._ready(queue, mine),
            take=lambda mine, count: self._take(queue, mine, count, ageing, draws=False),
        )
        before = len(self.claimed)
        over = self._judge(doorway, [row for row in rows if self._has_place(row)], share)
        for task in self.claimed[before:]:
            doorway.serve(owners[task.id], task.id)
        return over

    def _ready(self, queue: str, lanes: Sequence[str]) -> int:
        """Return how many of these lanes may be taken."""
        if not self.select:
            return sum([min(self.table.lanes.ready(queue, lane), self.round.most(queue, lane)) for lane in lanes])
        rows = selected(self.table, queue, lanes, select=self.select, now=self.now)
        return sum([min(n, self.round.most(queue, lane)) for lane, n in Counter([row.lane for row in rows]).items()])

    def _has_place(self, row: Row) -> bool:
        """Draw what a row needs, or put it back where it does not fit beside those before it."""
        fits = self.round.most(row.spec.queue, row.lane, row.spec.priority) > 0
        if fits:
            self.round.draw(row.spec.queue, row.lane, 1)
        else:
            self.table.lanes.add_ready(row)
        return fits

    def _take(self, queue: str, lanes: Sequence[str], size: int, ageing: int, *, draws: bool = True) -> Sequence[Row]:
        """Take the first rows of these lanes out of them, of each level as many as fit, and draw what they need."""
        lanes_of = self.table.lanes
        if not self.select:
            return lanes_of.take_ready(queue, lanes, size, self.round, now=self.now, ageing=ageing, draws=draws)
        rows = selected(self.table, queue, lanes, select=self.select, now=self.now, ageing=ageing)
        taken: list[Row] = []
        for (lane, priority), level in groupby(rows, lambda row: (row.lane, row.spec.priority)):
            some = list(islice(level, min(size - len(taken), self.round.most(queue, lane, priority))))
            if draws:
                self.round.draw(queue, lane, len(some))
            taken += some
        for row in taken:
            lanes_of.drop_ready(row)
        return taken

    def _judge(self, doorway: Doorway, rows: Sequence[Row], share: int) -> bool:
        over = False
        started = 0
        for row in rows:
            if lapsed(row.spec, now=self.now) is not None:
                self._start([row])
                over = True
                continue
            self.table.gates.meet(doorway, gates_of(row.spec))
            held = doorway.shut(row.spec)
            if held is not None:
                self.table.lanes.add_ready(row)
                self.table.park(row, held)
                over = True
            elif started < share:
                doorway.enter(row.spec, row.attempt + 1)
                started += self._start([row])
            else:
                self.table.lanes.add_ready(row)
        return over

    def _start(self, rows: Sequence[Row]) -> int:
        """Start the rows that still may, cancel those that may not; return how many were started."""
        start = self.table.start
        before = len(self.claimed)
        for row in rows:
            spec = row.spec
            if spec.expires_at is None and spec.deadline is None:
                self.claimed.append(start(row, self.worker, self.running))
                if spec.extras is not NO_EXTRAS:
                    self.spare.draw(spec.queue, row.lane, 1)
                continue
            reason = lapsed(spec, now=self.now)
            if reason is None:
                self.claimed.append(start(row, self.worker, self.running))
                self.spare.draw(spec.queue, row.lane, 1)
            else:
                self.table.cancel(row, reason, now=self.now)
                self.ended.append(row.view())
        return len(self.claimed) - before
