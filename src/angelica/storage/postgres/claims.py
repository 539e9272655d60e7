"""Claiming: which lanes to take how much of, decided from one look, and tasks made of the rows that were taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from angelica.clock import Now
from angelica.domain.claims import rank_levels, rotate, share_out
from angelica.domain.lanes import kind_of
from angelica.domain.lifecycle import lapsed
from angelica.domain.placement import Spare
from angelica.domain.task import Task, TaskError
from angelica.storage.postgres.heads import Heads, Level, told
from angelica.storage.postgres.transaction import PostgresTransaction
from angelica.storage.protocol import Claim
from angelica.storage.rows import taken_of, task_of, to_json
from angelica.storage.verbs.limited import claim_limited
from angelica.storage.verbs.placing import heads_of, spare_for
from angelica.storage.verbs.transaction import Taken
from angelica.storage.verbs.waiting import cancel_waiting


class Lane(NamedTuple):
    """One level of priority of one lane in one queue, how many of it are wanted, and from where on."""

    queue: str
    executor: str
    priority: int
    wanted: int
    since_at: int
    since_id: str


def selection(claim: Claim) -> tuple[list[str], list[str]]:
    """Return the labels that tasks must have, as the arrays that the statements want."""
    return list(claim.select), list(claim.select.values())


def share(levels: Sequence[Level], claim: Claim, spare: Spare, now: Now) -> list[Lane]:
    """Decide how much of each level to take, in the order of claim; draws from `spare` what that needs."""
    whole = spare.copy()  # what the counts are told by
    lanes: list[Lane] = []
    wanted = claim.wanted
    for executor, room in claim.room:
        found: dict[str, list[Level]] = {}
        for level in levels:
            if kind_of(level.executor) == executor:
                found.setdefault(level.queue, []).append(level)
        left = min(room, wanted)
        if left <= 0 or not found:
            continue
        names = rotate(sorted(found) if claim.queues is None else list(dict.fromkeys(claim.queues)), claim.turn)
        counts = [min(_ready(found.get(name, ()), left, whole), left) for name in names]
        for name, part in zip(names, share_out(left, counts), strict=True):
            mine = _share_levels(found.get(name, ()), part, spare, now)
            lanes += mine
            wanted -= sum(lane.wanted for lane in mine)
        whole = spare.copy()
    return lanes


def _ready(levels: Sequence[Level], most: int, spare: Spare) -> int:
    """Return how many rows of these levels of a queue may be taken, each counted up to `most`."""
    ready: dict[str, int] = {}
    for level in levels:
        ready[level.executor] = ready.get(level.executor, 0) + (most if level.ready is None else level.ready)
    return sum([min(count, spare.most(levels[0].queue, lane)) for lane, count in ready.items()])


def _share_levels(levels: Sequence[Level], wanted: int, spare: Spare, now: Now) -> list[Lane]:
    lanes: list[Lane] = []
    by_key = {(level.executor, level.priority): level for level in levels}
    for key in rank_levels([(level.executor, level.priority, level.oldest) for level in levels], now=now):
        level = by_key[key]
        ready = wanted if level.ready is None else level.ready
        part = min(wanted, ready, spare.most(level.queue, level.executor, level.priority))
        if part > 0:
            spare.draw(level.queue, level.executor, part)
            lanes.append(Lane(level.queue, level.executor, level.priority, part, *level.since))
            wanted -= part
    return lanes


def columns(lanes: Sequence[Lane]) -> list[list[Any]]:
    """Return the arrays of lanes that the taking statements want."""
    return [list(column) for column in zip(*lanes, strict=True)] or [[], [], [], [], [], []]


def tasks_of(rows: Sequence[Mapping[str, Any]], lanes: Sequence[Lane], worker: str) -> list[Task]:
    """Return the tasks of taken rows in the order of claim: by lane, `run_at` and id."""
    if rows[0]["lane"] is None:  # the one row that says that none was taken
        return []
    found = [(row["lane"], row["run_at"], row["id"], row) for row in rows]
    found.sort(key=lambda entry: entry[:3])
    return [taken_of(row, lanes[lane - 1][:4], worker) for lane, _, _, row in found]


async def claim_tasks(tx: PostgresTransaction, claim: Claim, heads: Heads, *, now: Now) -> Taken:
    """Claim what fits."""
    claimed: list[Task] = []
    over: list[Task] = []
    levels = await heads.look(tx, claim, now)
    if levels and levels[0].edition is not None:
        return await claim_limited(tx, claim, now=now)
    spare = await spare_for(tx, claim, heads_of(map(told, levels)), now=now)
    for executor, room in claim.room:
        left = min(room, claim.wanted - len(claimed))
        while left > 0:
            part = replace(claim, wanted=left, room=((executor, left),))
            lanes = share(levels, part, spare.copy(), now)
            if not lanes:
                break
            verb, wanted = ("take_selected", selection(claim)) if claim.select else ("take", ())
            rows = await tx.fetch(verb, tx.slot, None, claim.worker, now.wall, *columns(lanes), *wanted)
            taken = tasks_of(rows, lanes, claim.worker)
            for lane in [lanes[row["lane"] - 1] for row in rows] if taken else ():
                spare.draw(lane.queue, lane.executor, 1)
            claimed += taken
            left -= len(taken)
            late = rows[0]["late"]
            if not late:
                break
            over += await _lapse(tx, late, now)  # and look again: what lapsed left room
            levels = await heads.look(tx, claim, now)
    return Taken(claimed, over, spare.kept)


async def _lapse(tx: PostgresTransaction, ids: Sequence[str], now: Now) -> list[Task]:
    found = dict(await tx.rows("tasks_by_ids", to_json(ids)))
    tasks = [task_of(found[place]) for place in range(len(ids))]
    ends = [(task, TaskError(lapsed(task.spec, now=now) or "", attempt=task.attempt)) for task in tasks]
    await cancel_waiting(tx, ends, now=now)
    found = dict(await tx.rows("tasks_by_ids", to_json(ids)))
    return [task_of(found[place]) for place in range(len(ids))]
