"""The memory storage's journal: log lines, checkpoints and progress of running rows."""

from __future__ import annotations

from angelica.storage.memory_table import Table
from angelica.storage.protocol import LogLine, Note


def annotate(table: Table, note: Note) -> bool:
    """Write a checkpoint or progress; False if stale."""
    row = table.rows.get(note.task_id)
    if row is None or not row.running_as(note.attempt):
        return False
    if note.checkpoint is not None:
        row.checkpoint = note.checkpoint
    if note.progress is not None:
        row.progress = note.progress
    row.revision += 1
    return True


def append_log(table: Table, line: LogLine) -> bool:
    """Store a line at its place (a repeated one changes nothing); False if stale."""
    row = table.rows.get(line.task_id)
    if row is None or not row.running_as(line.attempt):
        return False
    if row.logs is None:
        row.logs = {}
    lines = row.logs.setdefault(line.attempt, [])
    if not lines or line.seq > lines[-1].seq:
        lines.append(line)
    elif all(known.seq != line.seq for known in lines):
        lines.append(line)
        lines.sort(key=lambda known: known.seq)
    return True
