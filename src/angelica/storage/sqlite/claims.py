"""Claiming: the levels of each lane by a loose index walk, then the rows in order, taken by their ids."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from angelica.clock import Now
from angelica.domain.claims import rank_levels, rotate, share_out
from angelica.domain.lifecycle import lapsed
from angelica.domain.task import Task, TaskError
from angelica.storage.protocol import Claim, Topic
from angelica.storage.rows import claimed_of, error_text, task_of, to_json
from angelica.storage.sqlite.transaction import Transaction

Levels = dict[str, list[tuple[int, int]]]


def claim_tasks(tx: Transaction, claim: Claim, *, now: Now) -> tuple[list[Task], list[Task]]:
    """Claim what fits and return (claimed, lapsed), both in the order in which they were taken."""
    hand = _Hand(tx, claim.worker, now)
    if claim.wanted <= 0 or not any(room > 0 for _, room in claim.room):
        return hand.claimed, hand.lapsed
    named = claim.queues is not None
    queues = list(dict.fromkeys(claim.queues)) if claim.queues is not None else tx.rows("ready_queues")
    if not queues:
        return hand.claimed, hand.lapsed
    wanted = claim.wanted
    for executor, room in claim.room:
        before = len(hand.claimed)
        left = min(room, wanted)
        while left > 0:
            levels = _levels(tx, executor, queues)
            names = rotate(queues if named else [queue for queue in queues if queue in levels], claim.turn)
            count, clean = _take(hand, names, executor, left, levels)
            left -= count
            if clean:
                break
        wanted -= len(hand.claimed) - before
    return hand.claimed, hand.lapsed


def _levels(tx: Transaction, executor: str, queues: Sequence[str]) -> Levels:
    found: Levels = {}
    for _, queue, priority, oldest in tx.rows("ready_levels", to_json([executor]), to_json(queues)):
        found.setdefault(queue, []).append((priority, oldest))
    return found


def _take(hand: _Hand, queues: Sequence[str], executor: str, wanted: int, levels: Levels) -> tuple[int, bool]:
    """Take one share-out; return how many were claimed, and whether no room is left open by lapsed tasks."""
    busy = [queue for queue in queues if queue in levels]
    if len(busy) > 1:
        counts = [hand.tx.value("count_ready", queue, executor, wanted) if queue in levels else 0 for queue in queues]
        shares = dict(zip(queues, share_out(wanted, counts), strict=True))
    else:
        shares = dict.fromkeys(busy, wanted)
    taken = clean = 0
    for queue in busy:
        left = shares[queue]
        for priority in rank_levels(levels[queue], now=hand.now):
            if left <= 0:
                break
            rows = hand.rows(queue, executor, priority, left)
            left -= len(rows)
            taken += len(rows)
            clean += hand.start(rows)
    return clean, taken == clean


class _Hand:
    """What one claim has in hand."""

    __slots__ = ("claimed", "lapsed", "now", "tx", "worker")

    def __init__(self, tx: Transaction, worker: str, now: Now) -> None:
        self.tx = tx
        self.worker = worker
        self.now = now
        self.claimed: list[Task] = []
        self.lapsed: list[Task] = []

    def rows(self, queue: str, executor: str, priority: int, limit: int) -> list[list[object]]:
        """Return the first rows of a level."""
        try:
            return self.tx.rows("ready_rows", queue, executor, priority, limit)
        except apsw.TooBigError:
            # A thousand payloads of the largest kind are more than one value may hold.
            if limit == 1:
                raise
            return self.rows(queue, executor, priority, limit // 2)

    def start(self, rows: Sequence[list[object]]) -> int:
        """Start the rows that still may, cancel those that may not; return how many were started."""
        over: list[tuple[list[object], str]] = []
        begun: list[Task] = []
        for row in rows:
            if row[14] is not None:
                reason = lapsed(task_of(row).spec, now=self.now)
                if reason is not None:
                    over.append((row, reason))
                    continue
            begun.append(claimed_of(row, self.worker))
        if begun:
            self.tx.run("take", to_json([task.spec.id for task in begun]), self.worker)
            for task in begun:
                self.tx.count(task.spec.queue, "queued", -1)
                self.tx.count(task.spec.queue, "running", 1)
            self.claimed += begun
        if over:
            self._cancel(over)
        return len(begun)

    def _cancel(self, over: Sequence[tuple[list[object], str]]) -> None:
        cancels = [(task_of(row), reason) for row, reason in over]
        cancel_waiting(self.tx, [(task, reason) for task, reason in cancels], now=self.now)
        ids = [task.spec.id for task, _ in cancels]
        views = {row[0]: task_of(row[1]) for row in self.tx.rows("tasks_by_ids", to_json(ids))}
        self.lapsed += [views[position] for position in range(len(ids))]


def cancel_waiting(tx: Transaction, tasks: Sequence[tuple[Task, str]], *, now: Now) -> None:
    """End tasks that have not started as cancelled, each for its reason."""
    rows = []
    for task, reason in tasks:
        error = error_text(TaskError(reason, attempt=task.attempt))
        rows.append((task.spec.id, error, now.wall, now.wall + task.spec.policy.retention))
        tx.count(task.spec.queue, task.state, -1)
        tx.count(task.spec.queue, "cancelled", 1)
    if rows:
        tx.run("cancel_waiting", to_json(rows))
        tx.topics.add(Topic.ENDED)
