"""The memory storage's claim for a worker that takes only tasks with certain labels: every ready row is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.claims import AGEING, rank_levels
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table

Levels = dict[tuple[str, int], list[Row]]


def selected(
    table: Table,
    queue: str,
    lanes: Sequence[str],
    *,
    select: Mapping[str, str],
    now: Now,
    ageing: int = AGEING,
) -> list[Row]:
    """Return the ready rows of these lanes that have these labels, in the order of claim."""
    levels = _levels(table, queue, lanes, select)
    ranks = [(lane, priority, rows[0].run_at) for (lane, priority), rows in levels.items()]
    return [row for key in rank_levels(ranks, now=now, ageing=ageing) for row in levels[key]]


def _levels(table: Table, queue: str, lanes: Sequence[str], select: Mapping[str, str]) -> Levels:
    """Return the rows that match, by lane and priority, in order of `run_at` and id."""
    levels: Levels = {}
    for lane in lanes:
        for row in table.lanes.walk(queue, lane):
            if select.items() <= row.spec.extras.labels.items():
                levels.setdefault((lane, row.spec.priority), []).append(row)
    for rows in levels.values():
        rows.sort(key=lambda row: (row.run_at, row.spec.id))
    return levels
