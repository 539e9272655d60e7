"""What the readers ask: tasks by id and by filter, logs, attempts, workers, functions, counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angelica.domain.task import Attempt, State, Task
from angelica.storage.protocol import FunctionRow, LogLine, TaskFilter, TaskPage, WorkerRow
from angelica.storage.recent import latest
from angelica.storage.rows import attempt_of, line_of, task_of, to_json, worker_of
from angelica.storage.verbs.transaction import Statements, Value

# Below this many, rows of a rare state are sorted; above, they are soon met on the way through all tasks.
_FEW: Final = 5_000
_LIVE: Final = {State.RUNNING: "running", State.SCHEDULED: "due"}
_OF_A_STATE: Final = frozenset({str(State.FAILED), str(State.CANCELLED), *_LIVE.values()})


async def get_tasks(db: Statements, task_ids: Sequence[str]) -> tuple[Task | None, ...]:
    """Return the tasks position by position."""
    found = dict(await db.rows("tasks_by_ids", to_json(task_ids)))
    return tuple(task_of(found[position]) if position in found else None for position in range(len(task_ids)))


async def list_tasks(
    db: Statements, where: TaskFilter, *, limit: int, after: tuple[int, str] | None, newest_first: bool
) -> TaskPage:
    """Return one page in order of (`created_at`, id)."""
    if where.states is not None and not where.states:
        return TaskPage(())
    index = await _index(db, where)
    terms, values = _filter(db, where, by_state=index in _OF_A_STATE)
    among = db.among(index)
    if among:
        terms.append(among)
    if after is not None:
        terms.append("(created_at, id) < (?, ?)" if newest_first else "(created_at, id) > (?, ?)")
        values += after
    way = "desc" if newest_first else "asc"
    clause = f"{db.way(index)} where {' and '.join(terms) or 'true'} order by created_at {way}, id {way} limit ?"
    rows = await db.filtered("list_tasks", clause, [*values, max(limit, 0) + 1])
    items = tuple(task_of(row) for row in rows[:limit])
    more = len(rows) > limit > 0
    return TaskPage(items, (items[-1].spec.created_at, items[-1].spec.id) if more else None)


async def read_logs(
    db: Statements, task_id: str, *, attempt: int | None, after: tuple[int, int], limit: int
) -> tuple[LogLine, ...]:
    """Return the lines after the cursor, in order of (attempt, seq)."""
    if attempt is None:
        rows = await db.rows("logs", task_id, *after, limit)
    else:
        rows = await db.rows("logs_of_attempt", task_id, *after, limit, attempt)
    return tuple(line_of(row) for row in rows)


async def read_attempts(db: Statements, task_id: str) -> tuple[Attempt, ...]:
    """Return the attempts that did not succeed, in order."""
    return tuple(attempt_of(row) for row in await db.rows("attempts", task_id))


async def recent_attempts(db: Statements, function: str, *, limit: int, among: int) -> tuple[Attempt, ...]:
    """Return the latest attempts of a function, of tasks that have ended: measured ones, then those among the last."""
    rows = await db.rows("measured_runs", function, limit)
    if len(rows) < limit:
        rows += await db.rows("unmeasured_runs", function, limit - len(rows), among)
    won = [attempt_of(row) for row in rows if row[2] == "succeeded"]
    lost = await db.rows("attempts_of", to_json([row[0] for row in rows])) if rows else []
    return latest([*won, *map(attempt_of, lost)], limit)


async def list_functions(db: Statements) -> tuple[FunctionRow, ...]:
    """Return the functions by name."""
    return tuple(FunctionRow(*row) for row in await db.rows("functions"))


async def list_workers(db: Statements) -> tuple[WorkerRow, ...]:
    """Return the workers by id."""
    return tuple(worker_of(row) for row in await db.rows("workers"))


async def counts(db: Statements) -> dict[tuple[str, State], int]:
    """Return how many tasks stand in each (queue, state)."""
    return {(queue, State(state)): n for queue, state, n in await db.rows("counts")}


async def count_held(db: Statements, *, limit: int) -> dict[tuple[str, str], int]:
    """Return how many tasks each (rule, function) holds back, each up to `limit`."""
    return {(rule, function): n for rule, function, n in await db.rows("held_counts", limit)}


async def count_ahead(db: Statements, task: Task, *, limit: int) -> int:
    """Return how many ready tasks come before this one, up to `limit`."""
    spec = task.spec
    found = int(await db.value("ahead", spec.queue, spec.lane, spec.priority, task.run_at, spec.id, limit))
    return min(found, limit)


def _filter(db: Statements, where: TaskFilter, *, by_state: bool) -> tuple[list[str], list[Value]]:
    """Return the terms of a filter and their values; every text in the terms is ours."""
    terms: list[str] = []
    values: list[Value] = []
    if where.states is not None:
        # As literals (they are ours): a partial index is used only where its condition can be proved. Where another is
        # to be used it cannot be, or a planner would sort all that ever succeeded for one page of it.
        names = sorted(f"'{state}'" for state in where.states)
        state = "state" if by_state else "state || ''"
        terms.append(f"{state} = {names[0]}" if len(names) == 1 else f"{state} in ({', '.join(names)})")
    for column, patterns in (("queue", where.queues), ("function", where.functions)):
        if patterns:
            some, of = named(column, patterns)
            terms.append(some)
            values += of
    for name, value in where.labels.items():
        labelled = f"select 1 from {db.prefix}labels where task_id = tasks.id and name = ? and value = ?"  # noqa: S608 - ours
        terms.append(f"exists ({labelled})")
        values += (name, value)
    compared: tuple[tuple[str, Value], ...] = (
        ("created_at >= ?", where.created_after),
        ("created_at < ?", where.created_before),
        ("parent_id = ?", where.parent_id),
        ("retry_of = ?", where.retry_of),
        ("worker = ?", where.worker),
    )
    for term, wanted in compared:
        if wanted is not None:
            terms.append(term)
            values.append(wanted)
    if where.held is not None:
        terms.append("held is not null" if where.held else "held is null")
    if where.retrying is not None:
        again = "(state = 'scheduled' and failures + crashes > 0)"
        terms.append(again if where.retrying else f"not {again}")
    return terms, values


def named(column: str, patterns: Sequence[str]) -> tuple[str, list[Value]]:
    """Return the term for a name that is one of the patterns, or begins as one says that ends in `*`."""
    terms: list[str] = []
    values: list[Value] = []
    for pattern in patterns:
        if pattern.endswith("*"):
            terms.append(f"substr({column}, 1, length(?)) = ?")
            values += (pattern[:-1], pattern[:-1])
        else:
            terms.append(f"{column} = ?")
            values.append(pattern)
    return f"({' or '.join(terms)})", values


async def _index(db: Statements, where: TaskFilter) -> str:
    """Choose the index of the rarest part; few rows of a live state are sorted rather than searched."""
    if where.parent_id is not None:
        return "children"
    if where.retry_of is not None:
        return "retries"
    if where.worker is not None and where.states == frozenset({State.RUNNING}):
        return "running"
    if where.states is not None and len(where.states) == 1:
        (state,) = where.states
        if state in {State.FAILED, State.CANCELLED}:
            return str(state)
        if state in _LIVE and sum(n for key, n in (await counts(db)).items() if key[1] is state) <= _FEW:
            return _LIVE[state]
    return "listing"
