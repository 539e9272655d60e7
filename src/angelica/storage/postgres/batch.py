"""A batch of new tasks as columns: what the inserting statements take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from angelica.domain.task import NOTHING, NewTask
from angelica.storage.postgres.texts import joined
from angelica.storage.protocol import Topic
from angelica.storage.rows import extras_text, is_plain, policy_text, to_json

Kind = tuple[str, int, str, str, int, str, str]
Statement = tuple[str, list[Any]]

_MOST_ROWS: Final = 5_000
_MOST_CHARACTERS: Final = 64_000_000
_KIND: Final = 7
_PLAIN: Final = 6
_RARE: Final = 8
_PAYLOAD: Final = 5


class Batch:
    """Rows of tasks of any number of calls, plain and full ones apart; `runs` are those that belong to a schedule."""

    __slots__ = ("_full", "_kinds", "_labels", "_plain", "runs", "topics")

    def __init__(self) -> None:
        self._kinds: dict[Kind, int] = {}
        self._plain: list[tuple[Any, ...]] = []
        self._full: list[tuple[Any, ...]] = []
        self._labels: list[tuple[str, str, str]] = []
        self.runs: list[tuple[str, str, str | None]] = []
        self.topics: set[Topic] = set()

    def add(self, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
        """Take the tasks of one call; `waits` says which of them wait for another run."""
        kinds, plain = self._kinds, self._plain
        for task in tasks:
            state = "waiting" if waits and task.id in waits else "queued" if task.run_at <= wall else "scheduled"
            policy = policy_text(task.policy)
            key = (task.function, task.version, task.queue, task.lane, task.priority, state, policy)
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = len(kinds) + 1
                if state != "waiting":
                    self.topics.add(Topic.READY if state == "queued" else Topic.DUE)
            row = (task.id, kind, task.run_at, task.created_at, task.trace_id, task.payload)
            if is_plain(task):
                plain.append(row)
            else:
                self._add_full(task, row, waits)

    def _add_full(self, task: NewTask, row: tuple[Any, ...], waits: Mapping[str, str]) -> None:
        extras, unique = task.extras, task.unique
        self._full.append(
            (
                *row,
                None if unique is None else unique.key,
                None if unique is None else to_json([unique.key, unique.scope, unique.on_conflict]),
                task.expires_at,
                task.deadline,
                extras.parent_id,
                extras.retry_of,
                extras.schedule_id,
                extras_text(extras),
            )
        )
        self._labels += [(task.id, name, value) for name, value in extras.labels.items()]
        if extras.schedule_id is not None:
            self.runs.append((extras.schedule_id, task.id, waits.get(task.id)))

    def statements(self) -> list[Statement]:
        """Return the statements for tasks that are thought to be new, with their arrays."""
        kinds = _columns(list(self._kinds), _KIND)
        parts: list[Statement] = [
            ("store_plain", [*kinds, *map(joined, zip(*rows, strict=True)), *self._counts(rows)])
            for rows in cut(self._plain)
        ]
        parts += [("store_full", [*self._full_values(rows), *self._counts(rows)]) for rows in cut(self._full)]
        return parts

    def tolerant(self) -> list[Statement]:
        """Return the statements for tasks of which some may stand."""
        filled = [(*row, *([None] * _RARE)) for row in self._plain]
        return [("insert_full", self._full_values(rows)) for rows in cut([*filled, *self._full])]

    def _full_values(self, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        ids = {row[0] for row in rows}
        labels = [label for label in self._labels if label[0] in ids]
        return [*_columns(list(self._kinds), _KIND), *_columns(rows, _PLAIN + _RARE), *_columns(labels, 3)]

    def _counts(self, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        """Return how many of the rows are in each (queue, state)."""
        kinds = list(self._kinds)
        found = [0] * (len(kinds) + 1)
        for row in rows:
            found[row[1]] += 1
        counts: dict[tuple[str, str], int] = {}
        for kind, n in zip(kinds, found[1:], strict=True):
            if n:
                counts[kind[2], kind[5]] = counts.get((kind[2], kind[5]), 0) + n
        return _columns([(queue, state, n) for (queue, state), n in counts.items()], 3)


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def cut(rows: Sequence[tuple[Any, ...]], payload: int = _PAYLOAD) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Cut rows, with their payload in that column, into parts that the server can take in one message each."""
    if len(rows) <= _MOST_ROWS and sum([len(row[payload]) for row in rows]) <= _MOST_CHARACTERS:
        if rows:
            yield rows
        return
    part: list[tuple[Any, ...]] = []
    size = 0
    for row in rows:
        length = len(row[payload])
        if part and (len(part) >= _MOST_ROWS or size + length > _MOST_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part
