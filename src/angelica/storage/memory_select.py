"""The memory storage's claim for a worker that takes only tasks with certain labels: every ready row is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from angelica.clock import Now
from angelica.domain.claims import rank_levels, share_out
from angelica.storage.memory_rows import Row
from angelica.storage.memory_table import Table

Levels = dict[tuple[str, int], list[Row]]


def take_selected(
    table: Table,
    queues: Sequence[str],
    open_lanes: Mapping[str, Sequence[str]],
    wanted: int,
    *,
    select: Mapping[str, str],
    now: Now,
) -> list[Row]:
    """Take one share-out of ready rows that have these labels."""
    found = [_levels(table, queue, open_lanes.get(queue, ()), select) for queue in queues]
    shares = share_out(wanted, [sum(map(len, levels.values())) for levels in found])
    taken: list[Row] = []
    for levels, share in zip(found, shares, strict=True):
        order = rank_levels([(lane, priority, rows[0].run_at) for (lane, priority), rows in levels.items()], now=now)
        taken += [row for key in order for row in levels[key]][:share]
    for row in taken:
        table.lanes.drop_ready(row)
    return taken


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
