"""Fires: many firings as a handful of statements, runs made by hand or after the fact, and the history of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from angelica.clock import Now
from angelica.domain.schedule import Fire, FireRecord, Firing, Schedule
from angelica.domain.task import NewTask
from angelica.storage.rows import to_json
from angelica.storage.schedule_rows import fire_row, record_of, schedule_of, state_row
from angelica.storage.schedule_rules import OVERLAP, applies, fired, fires_to_run, history, keep_fires, slot_of
from angelica.storage.verbs.runs import Run, store_runs
from angelica.storage.verbs.transaction import Clash, Statements, Transaction
from angelica.storage.verbs.upkeep import cancel

_END = 2**63 - 1

Applied = tuple[Firing, Schedule, Sequence[Fire]]


async def fire_many(tx: Transaction, firings: Sequence[Firing], *, now: Now) -> tuple[bool, ...]:
    """Write firings as if one by one: those of the same schedule in one part after the other."""
    answers: list[bool] = []
    part: dict[str, Firing] = {}
    for firing in firings:
        if firing.schedule_id in part:
            answers += await _fire_part(tx, list(part.values()), now)
            part = {}
        part[firing.schedule_id] = firing
    return (*answers, *(await _fire_part(tx, list(part.values()), now))) if part else tuple(answers)


async def _fire_part(tx: Transaction, firings: Sequence[Firing], now: Now) -> list[bool]:
    await tx.lock("schedules", [firing.schedule_id for firing in firings])
    rows = dict(await tx.rows("schedules_by_ids", to_json([firing.schedule_id for firing in firings])))
    standing = [schedule_of(rows[place]) if place in rows else None for place in range(len(firings))]
    applied: Sequence[Applied] = [
        (firing, schedule, fires_to_run(firing, schedule))
        for firing, schedule in zip(firings, standing, strict=True)
        if schedule is not None and applies(firing, schedule)
    ]
    if tx.careful:
        applied = await _without_standing(tx, applied)
    await _write_records(tx, applied, now)
    runs = [Run(fire.task, schedule.id, fire.after) for _, schedule, run in applied for fire in run]
    if runs:
        await store_runs(tx, runs, now=now)
    if applied:
        await tx.run("move_schedules", to_json([state_row(fired(schedule, firing)) for firing, schedule, _ in applied]))
    asked = [task_id for firing, _, _ in applied for task_id in firing.cancel]
    if asked:
        await cancel(tx, asked, reason=OVERLAP, now=now)
    done = {firing.schedule_id for firing, _, _ in applied}
    return [firing.schedule_id in done for firing in firings]


async def _without_standing(tx: Transaction, applied: Sequence[Applied]) -> list[Applied]:
    keys = [(schedule.id, fire.fire_time, "") for _, schedule, run in applied for fire in run]
    stand = {(keys[place][0], keys[place][1]) for place, _ in await tx.rows("standing_fires", to_json(keys))}
    return [
        (firing, schedule, [fire for fire in run if (schedule.id, fire.fire_time) not in stand])
        for firing, schedule, run in applied
    ]


async def _write_records(tx: Transaction, applied: Sequence[Applied], now: Now) -> None:
    latest = await _latest(tx, [schedule.id for firing, schedule, _ in applied if firing.skipped])
    runs: list[tuple[object, ...]] = []
    spans: list[tuple[object, ...]] = []
    for firing, schedule, run in applied:
        keep_until = now.wall + keep_fires(schedule.rules)
        for record in history(firing, run, latest.get(schedule.id), wall=now.wall):
            (runs if record.reason is None else spans).append(fire_row(record, slot_of(record), keep_until))
    if runs and await tx.run("insert_fires", to_json(runs)) != len(runs):
        raise Clash  # one of them stands
    if spans:
        await tx.run("put_fires", to_json(spans))


async def _latest(tx: Transaction, ids: Sequence[str]) -> dict[str, FireRecord]:
    rows = await tx.rows("latest_fires", to_json(ids)) if ids else ()
    return {record.schedule_id: record for record in (record_of(row) for row in rows if row is not None)}


async def record_fires(
    tx: Transaction,
    records: Sequence[FireRecord],
    tasks: Sequence[NewTask],
    *,
    after: Sequence[str | None] | None,
    force: bool,
    now: Now,
) -> tuple[bool, ...]:
    """Write runs that were not due, as if one by one."""
    await tx.lock("schedules", [record.schedule_id for record in records])
    keys = [(record.schedule_id, record.fire_time, slot_of(record, force=force)) for record in records]
    standing = {keys[place]: task_id for place, task_id in await tx.rows("standing_fires", to_json(keys))}
    keeps = dict(await tx.rows("keeps", to_json(list(dict.fromkeys(record.schedule_id for record in records)))))
    waits = [None] * len(records) if after is None else after
    answers: list[bool] = []
    rows: list[tuple[object, ...]] = []
    runs: list[Run] = []
    for record, task, waits_for, key in zip(records, tasks, waits, keys, strict=True):
        new = key not in standing and record.schedule_id in keeps
        if new:
            standing[key] = record.task_id
            rows.append(fire_row(record, key[2], now.wall + keeps[record.schedule_id]))
            runs.append(Run(task, record.schedule_id, waits_for))
        answers.append(new or (key in standing and standing[key] == record.task_id))
    if rows:
        await tx.run("insert_fires", to_json(rows))
        await store_runs(tx, runs, now=now)
    return tuple(answers)


async def read_fires(db: Statements, schedule_id: str, *, before: int | None, limit: int) -> tuple[FireRecord, ...]:
    """Return records with a fire time before `before`, the newest first."""
    rows: Iterable[Sequence[object]] = await db.rows("fires_of", schedule_id, _END if before is None else before, limit)
    return tuple([record_of(row) for row in rows])


async def fire_times(db: Statements, schedule_id: str, start: int, end: int) -> tuple[int, ...]:
    """Return the fire times in [start, end) that have a run."""
    return tuple(await db.rows("fire_times", schedule_id, start, end))
