"""Schedules: writing definitions, deleting them, and what is asked about them."""

from __future__ import annotations

from collections.abc import Sequence

from angelica.clock import Now
from angelica.domain.schedule import Phase, Schedule, Unfinished
from angelica.storage.protocol import Due, PutStatus, ScheduleFilter, SchedulePage, SchedulePut, Topic
from angelica.storage.rows import to_json
from angelica.storage.schedule_rows import schedule_of, schedule_row
from angelica.storage.schedule_rules import WRITTEN, judge_put
from angelica.storage.verbs.reads import named
from angelica.storage.verbs.transaction import Statements, Transaction, Value

# The first text after all texts that begin with a prefix: ids are ASCII.
_LAST = "\U0010ffff"


async def put_schedules(tx: Transaction, puts: Sequence[SchedulePut]) -> tuple[PutStatus, ...]:
    """Write definitions as if one by one."""
    ids = list(dict.fromkeys(put.schedule.id for put in puts))
    await tx.lock("schedules", ids)
    names = to_json(ids)
    standing = {row[0]: schedule_of(row) for _, row in await tx.rows("schedules_by_ids", names)}
    tombstones = set(await tx.rows("tombstones", names))
    written: dict[str, Schedule] = {}
    statuses: list[PutStatus] = []
    for put in puts:
        name = put.schedule.id
        status, schedule = judge_put(put, standing.get(name), deleted=name in tombstones)
        statuses.append(status)
        if schedule is not None:
            standing[name] = written[name] = schedule
    if written:
        await tx.run("put_schedules", to_json([schedule_row(schedule) for schedule in written.values()]))
    risen = [name for name in written if name in tombstones]
    if risen:
        await tx.run("delete_tombstones", to_json(risen))
    if not WRITTEN.isdisjoint(statuses):
        tx.topics.add(Topic.SCHEDULES)
    return tuple(statuses)


async def delete_schedules(tx: Transaction, ids: Sequence[str], *, now: Now, tombstone: bool) -> tuple[bool, ...]:
    """Delete schedules with their history."""
    asked = list(dict.fromkeys(ids))
    await tx.lock("schedules", asked)
    gone = {asked[place] for place, _ in await tx.rows("schedules_by_ids", to_json(asked))}
    if gone:
        text = to_json(sorted(gone))
        await tx.run("delete_fires", text)
        await tx.run("delete_schedules", text)
        if tombstone:
            await tx.run("put_tombstones", text, now.wall)
        tx.topics.add(Topic.SCHEDULES)
    answers = []
    for name in ids:
        answers.append(name in gone)
        gone.discard(name)
    return tuple(answers)


async def prune_schedules(tx: Transaction, *, now: Now, limit: int) -> int:
    """Delete fire records past their time and completed schedules past theirs; return how many records."""
    names = await tx.rows("ending_schedules", now.wall, limit)
    if names:
        await delete_schedules(tx, names, now=now, tombstone=False)
    return await tx.run("prune_fires", now.wall, limit)


async def due_schedules(db: Statements, *, now: Now, limit: int) -> tuple[Due, ...]:
    """Return what is due with its unfinished runs, the earliest first."""
    rows = await db.rows("due_schedules", now.wall, limit)
    return tuple([Due(schedule_of(row), _unfinished(runs[::-1])) for row, runs in rows])


async def next_fire(db: Statements) -> int | None:
    """Return the earliest fire of an active schedule."""
    found: int | None = await db.value("next_fire")
    return found


async def get_schedules(db: Statements, ids: Sequence[str]) -> tuple[Schedule | None, ...]:
    """Return the schedules position by position."""
    found = dict(await db.rows("schedules_by_ids", to_json(ids)))
    return tuple(schedule_of(found[place]) if place in found else None for place in range(len(ids)))


async def list_schedules(db: Statements, where: ScheduleFilter, *, limit: int, after: str | None) -> SchedulePage:
    """Return one page in order of id."""
    if where.phases is not None and not where.phases:
        return SchedulePage(())
    terms, values = _filter(db, where)
    if after is not None:
        terms.append("id > ?")
        values.append(after)
    clause = f"{db.way(_index(where))} where {' and '.join(terms) or 'true'} order by id limit ?"
    rows = await db.filtered("list_schedules", clause, [*values, max(limit, 0) + 1])
    items = tuple(schedule_of(row) for row in rows[:limit])
    return SchedulePage(items, items[-1].id if len(rows) > limit > 0 else None)


async def unfinished_runs(db: Statements, schedule_id: str) -> Unfinished:
    """Return the unfinished runs of a schedule, oldest first."""
    rows = await db.rows("unfinished_of", to_json([schedule_id]))
    return _unfinished([(task_id, waits_for is not None) for _, task_id, waits_for in rows])


def _unfinished(runs: Sequence[tuple[str, int]]) -> Unfinished:
    running = tuple([task_id for task_id, waiting in runs if not waiting])
    return Unfinished(running, tuple([task_id for task_id, waiting in runs if waiting]))


def _filter(db: Statements, where: ScheduleFilter) -> tuple[list[str], list[Value]]:
    """Return the terms of a filter and their values; every text in the terms is ours."""
    terms: list[str] = []
    values: list[Value] = []
    if where.phases is not None:
        names = ", ".join(sorted(f"'{phase}'" for phase in where.phases))
        terms.append(f"phase in ({names})")
        if Phase.ACTIVE not in where.phases:
            terms.append("phase <> 'active'")  # else the planner cannot prove the condition of the index
    if where.functions:
        term, of = named("function", where.functions)
        terms.append(term)
        values += of
    if where.owner is not None:
        terms.append("owner = ?")
        values.append(where.owner)
    if where.source is not None:
        terms.append(f"declared is not null and {db.source_term} = ?")  # as the index has it
        values.append(where.source)
    if where.timed_by_other is not None:
        terms.append("tz_version <> '' and tz_version <> ?")
        values.append(where.timed_by_other)
    if where.prefix:
        terms.append("id >= ? and id < ?")
        values += (where.prefix, where.prefix + _LAST)
    return terms, values


def _index(where: ScheduleFilter) -> str:
    """Choose the way to the rows: by the rarest part."""
    if where.source is not None:
        return "declared_by"
    if where.timed_by_other is not None:
        return "timed_by"
    if len(where.functions) == 1 and not where.functions[0].endswith("*"):
        return "scheduled_functions"
    if where.phases is not None and Phase.ACTIVE not in where.phases:
        return "resting"
    return "schedules_key"
