"""Runs: storing new ones behind those they wait for, and what the end of one means for the others and its schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from angelica.clock import Now
from angelica.domain.fire import settle
from angelica.domain.schedule import Schedule
from angelica.domain.task import NewTask
from angelica.storage.protocol import Topic
from angelica.storage.rows import to_json
from angelica.storage.schedule_rows import schedule_of, state_row
from angelica.storage.schedule_rules import go_on, latest_busy
from angelica.storage.verbs.submit import new_among
from angelica.storage.verbs.transaction import Over, Transaction

Unfinished = dict[str, dict[str, str | None]]


class Run(NamedTuple):
    """A run to be stored: its task, its schedule, and the run that it is to wait for."""

    task: NewTask
    schedule_id: str
    after: str | None


async def store_runs(tx: Transaction, runs: Sequence[Run], *, now: Now) -> None:
    """Store the tasks of runs as if one by one; one that stands already is left as it is."""
    chained = dict.fromkeys(run.schedule_id for run in runs if run.after is not None)
    waits: dict[str, str] = {}
    if chained:
        waits = _waits(await _new(tx, runs) if tx.careful else runs, await unfinished_of(tx, chained))
    tasks = [run.task for run in runs]
    await tx.insert(await new_among(tx, tasks) if tx.careful else tasks, now.wall, waits)


async def _new(tx: Transaction, runs: Sequence[Run]) -> Iterable[Run]:
    """Those that will be stored: of an id that comes twice, the first."""
    first = {run.task.id: run for run in reversed(runs)}
    return [first[task.id] for task in await new_among(tx, [run.task for run in runs])]


def _waits(runs: Iterable[Run], unfinished: Unfinished) -> dict[str, str]:
    """Say which of these new runs have to wait, and for what."""
    waits: dict[str, str] = {}
    for task, schedule_id, after in runs:
        of = unfinished.get(schedule_id)
        if of is None:
            continue
        waits_for = after if after is None or after in of else latest_busy(of)
        of[task.id] = waits_for
        if waits_for is not None:
            waits[task.id] = waits_for
    return waits


async def unfinished_of(tx: Transaction, schedule_ids: Iterable[str]) -> Unfinished:
    """Return the unfinished runs of each schedule, oldest first, with what each waits for."""
    found: Unfinished = {schedule_id: {} for schedule_id in schedule_ids}
    for schedule_id, task_id, waits_for in await tx.rows("unfinished_of", to_json(list(found))):
        found[schedule_id][task_id] = waits_for
    return found


async def settle_runs(tx: Transaction, *, now: Now) -> None:
    """Settle the schedules of the runs that have ended in this call, and let those go on that wait on them."""
    over, tx.over = tx.over, []
    if not over:
        return
    await tx.lock("schedules", list({end.schedule_id for end in over}))
    ended = [end.task_id for end in over]
    await tx.run("end_runs", to_json(ended))
    await _settle_schedules(tx, over)
    waiting = await tx.rows("waiting_schedules", to_json(ended))
    if waiting:
        await _go_on(tx, waiting, set(ended), now)


async def _settle_schedules(tx: Transaction, over: Sequence[Over]) -> None:
    ends: dict[str, list[Over]] = {}
    for end in over:
        ends.setdefault(end.schedule_id, []).append(end)
    asked = [(schedule_id, int(any(end.failed for end in some))) for schedule_id, some in ends.items()]
    changed = []
    for row, left in await tx.rows("schedules_to_settle", to_json(asked)):
        before = schedule_of(row)
        after = _settled(before, ends[before.id], left)
        if after is not before:
            changed.append(state_row(after))
            if (after.next_fire_at, after.phase) != (before.next_fire_at, before.phase):
                tx.topics.add(Topic.SCHEDULES)
    if changed:
        await tx.run("move_schedules", to_json(changed))


def _settled(schedule: Schedule, ends: Sequence[Over], left: int) -> Schedule:
    """Apply the ends in their order; `left` runs are unfinished after the last."""
    for place, end in enumerate(ends, 1):
        later = len(ends) - place
        schedule = settle(schedule, ended_at=end.ended_at, failed=end.failed, unfinished_left=left + later)
    return schedule


async def _go_on(tx: Transaction, schedule_ids: Sequence[str], ended: set[str], now: Now) -> None:
    waits: list[tuple[str, str | None]] = []
    ready: list[str] = []
    for unfinished in (await unfinished_of(tx, schedule_ids)).values():
        first, others = go_on(unfinished, ended)
        waits += others.items()
        if first is not None:
            ready.append(first)
    await tx.run("set_waits", to_json([*waits, *((task_id, None) for task_id in ready)]))
    rows = await tx.rows("waiting_rows", to_json(ready), now.wall)
    if rows:
        await tx.run("set_off", to_json(rows))
    for (queue, state), n in Counter((queue, state) for _, queue, state in rows).items():
        tx.count(queue, "waiting", -n)
        tx.count(queue, state, n)
        tx.topics.add(Topic.READY if state == "queued" else Topic.DUE)
