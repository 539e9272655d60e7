"""What a running attempt leaves behind: log lines, checkpoints and progress, fenced by its lease."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from angelica.domain.task import Lease
from angelica.storage.protocol import LogLine, Note
from angelica.storage.rows import to_json
from angelica.storage.verbs.transaction import Transaction

Pair = tuple[str, int]


async def append_logs(tx: Transaction, lines: Sequence[LogLine]) -> frozenset[Lease]:
    """Store the lines of live leases (a repeated line changes nothing); return the stale leases."""
    live, stale = await _sorted_out(tx, [(line.task_id, line.attempt) for line in lines])
    rows = [
        (line.task_id, line.attempt, line.seq, line.at, line.stream, line.level, line.logger, line.message)
        for line in lines
        if (line.task_id, line.attempt) in live
    ]
    if rows:
        await tx.run("insert_logs", to_json(rows))
    return stale


async def annotate(tx: Transaction, notes: Sequence[Note]) -> frozenset[Lease]:
    """Store notes of live leases, the last of a lease winning; return the stale leases."""
    live, stale = await _sorted_out(tx, [(note.task_id, note.attempt) for note in notes])
    merged: dict[str, tuple[str | None, str | None, int]] = {}
    for note in notes:
        if (note.task_id, note.attempt) in live:
            checkpoint, progress, count = merged.get(note.task_id, (None, None, 0))
            merged[note.task_id] = (
                checkpoint if note.checkpoint is None else note.checkpoint,
                progress if note.progress is None else note.progress,
                count + 1,
            )
    if merged:
        await tx.run("annotate", to_json([(task_id, *values) for task_id, values in merged.items()]))
    return stale


async def _sorted_out(
    tx: Transaction, leases: Iterable[tuple[str, int]]
) -> tuple[set[tuple[str, int]], frozenset[Lease]]:
    distinct = list(dict.fromkeys(leases))
    live = {distinct[position] for position in await tx.rows("live_leases", to_json(distinct))} if distinct else set()
    return live, frozenset(Lease(*lease) for lease in distinct if lease not in live)
