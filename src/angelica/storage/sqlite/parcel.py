"""Parcels: the tasks of many callers as rows of JSON text, ready to be written as one insert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from angelica.domain.task import NOTHING, NewTask
from angelica.storage.rows import full_row, is_plain, plain_row, to_json

Piece = tuple[str, int]

# One statement's text stays well below SQLite's bound of 10^9, and is not the size of the heap.
_MOST_ROWS: Final = 5_000
MOST_CHARACTERS: Final = 8_000_000


class Parcel:
    """Tasks of one or several calls as rows ready to write, made on the callers' side while the writer writes others.

    `plain` and `full` are pieces of JSON text without the outer brackets, each with its number of rows: those of many
    calls make one text. `runs` are those that belong to a schedule; `waits` says which of them wait for another one.
    """

    __slots__ = ("counts", "full", "labels", "plain", "runs", "waits")

    def __init__(self, parts: Sequence[tuple[Sequence[NewTask], int]], waits: Mapping[str, str] = NOTHING) -> None:
        self.waits = waits
        self.runs: list[tuple[str, str, str | None]] = []
        self.counts: dict[tuple[str, str], int] = {}
        self.plain: list[Piece] = []
        self.full: list[Piece] = []
        self.labels: list[tuple[str, str, str]] = []
        self._pack(parts)

    def _pack(self, parts: Sequence[tuple[Sequence[NewTask], int]]) -> None:
        counts, waits = self.counts, self.waits
        plain: list[tuple[object, ...]] = []
        full: list[tuple[object, ...]] = []
        size = 0
        for tasks, wall in parts:
            for task in tasks:
                state = "waiting" if waits and task.id in waits else "queued" if task.run_at <= wall else "scheduled"
                key = (task.queue, state)
                counts[key] = counts.get(key, 0) + 1
                if is_plain(task):
                    plain.append(plain_row(task, state))
                else:
                    full.append(full_row(task, state))
                    self._note(task)
                size += len(task.payload)
                if size > MOST_CHARACTERS or len(plain) + len(full) >= _MOST_ROWS:
                    self._cut(plain, full)
                    size = 0
        self._cut(plain, full)

    def _note(self, task: NewTask) -> None:
        """Keep what belongs into tables of its own."""
        extras = task.extras
        self.labels += [(task.id, name, value) for name, value in extras.labels.items()]
        if extras.schedule_id is not None:
            self.runs.append((extras.schedule_id, task.id, self.waits.get(task.id)))

    def _cut(self, plain: list[tuple[object, ...]], full: list[tuple[object, ...]]) -> None:
        for rows, pieces in ((plain, self.plain), (full, self.full)):
            if rows:
                pieces.append((to_json(rows)[1:-1], len(rows)))
                rows.clear()
