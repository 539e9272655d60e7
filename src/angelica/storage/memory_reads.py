"""The memory storage's reads: filters over rows, pages, logs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import nlargest
from itertools import islice

from angelica.domain.task import Attempt, State, Task
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table
from angelica.storage.protocol import LogLine, TaskFilter, TaskPage
from angelica.storage.recent import latest
from angelica.storage.schedule_rules import named


def page(
    rows: Iterable[Row], where: TaskFilter, *, limit: int, after: tuple[int, str] | None, newest_first: bool
) -> TaskPage:
    """Return one page of the rows that match, in order of (`created_at`, id)."""
    found = [(_key(row), row) for row in rows if matches(row, where)]
    if after is not None:
        found = [(key, row) for key, row in found if (key < after if newest_first else key > after)]
    found.sort(key=lambda pair: pair[0], reverse=newest_first)
    items = tuple(row.view() for _, row in found[:limit])
    return TaskPage(items, found[limit - 1][0] if len(found) > limit > 0 else None)


def _key(row: Row) -> tuple[int, str]:
    return row.spec.created_at, row.spec.id


def matches(row: Row, where: TaskFilter) -> bool:
    """Whether every given part of the filter fits; `created_after` is inclusive, `created_before` is not."""
    spec = row.spec
    extras = spec.extras
    return (
        (where.states is None or row.state in where.states)
        and (not where.queues or named(spec.queue, where.queues))
        and (not where.functions or named(spec.function, where.functions))
        and all(extras.labels.get(name) == value for name, value in where.labels.items())
        and (where.created_after is None or spec.created_at >= where.created_after)
        and (where.created_before is None or spec.created_at < where.created_before)
        and (where.held is None or (row.held is not None) == where.held)
        and (where.retrying is None or _retrying(row) == where.retrying)
        and (where.parent_id is None or extras.parent_id == where.parent_id)
        and (where.retry_of is None or extras.retry_of == where.retry_of)
        and (where.worker is None or row.worker == where.worker)
    )


def _retrying(row: Row) -> bool:
    return row.state is State.SCHEDULED and row.failures + row.crashes > 0


def lines_of(row: Row | None, *, attempt: int | None, after: tuple[int, int], limit: int) -> tuple[LogLine, ...]:
    """Return the log lines after the cursor, in order of (attempt, seq)."""
    if row is None or row.logs is None:
        return ()
    numbers = sorted(row.logs) if attempt is None else [attempt]
    lines = (line for number in numbers for line in row.logs.get(number, ()) if (line.attempt, line.seq) > after)
    return tuple(islice(lines, limit))


def recent(rows: Collection[Row], function: str, *, limit: int, among: int) -> tuple[Attempt, ...]:
    """Return the latest attempts of a function, of tasks that have ended."""
    ended = [row for row in rows if row.spec.function == function and row.finished_at is not None]
    found = nlargest(limit, [row for row in ended if row.usage is not None], key=_end)
    if len(found) < limit:
        last = {row.spec.id for row in nlargest(among, rows, key=_key)}
        unmeasured = [row for row in ended if row.usage is None and row.spec.id in last]
        found += nlargest(limit - len(found), unmeasured, key=_end)
    won = [row for row in found if row.state is State.SUCCEEDED]
    return latest(
        [
            *[attempt for row in found for attempt in row.attempts or ()],
            *[
                Attempt(
                    row.spec.id,
                    row.attempt,
                    "succeeded",
                    row.worker,
                    row.started_at,
                    row.finished_at or 0,
                    None,
                    row.usage,
                )
                for row in won
            ],
        ],
        limit,
    )


def _end(row: Row) -> tuple[int, str]:
    return row.finished_at or 0, row.spec.id


def ahead(table: Table, task: Task, limit: int) -> int:
    """Count the ready rows of the task's queue and lane that come before it, up to `limit`."""
    spec = task.spec
    place = (-spec.priority, task.run_at, spec.id)
    before = (
        row for row in table.lanes.walk(spec.queue, spec.lane) if (-row.spec.priority, row.run_at, row.spec.id) < place
    )
    return sum(1 for _ in islice(before, limit))
