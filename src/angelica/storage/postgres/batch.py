"""A batch of new tasks as columns: what the two inserting statements take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from angelica.domain.task import NOTHING, NewTask
from angelica.storage.protocol import Topic
from angelica.storage.rows import full_row, is_plain, plain_row

_MOST_ROWS: Final = 5_000
_MOST_CHARACTERS: Final = 64_000_000


class Batch:
    """Rows of tasks of any number of calls, plain and full ones apart; `runs` are those that belong to a schedule."""

    __slots__ = ("_full", "_labels", "_plain", "runs", "topics")

    def __init__(self) -> None:
        self._plain: list[tuple[object, ...]] = []
        self._full: list[tuple[object, ...]] = []
        self._labels: list[tuple[str, str, str]] = []
        self.runs: list[tuple[str, str, str | None]] = []
        self.topics: set[Topic] = set()

    @property
    def size(self) -> int:
        """How many tasks it has."""
        return len(self._plain) + len(self._full)

    def add(self, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
        """Take the tasks of one call; `waits` says which of them wait for another run."""
        for task in tasks:
            state = "waiting" if waits and task.id in waits else "queued" if task.run_at <= wall else "scheduled"
            if state != "waiting":
                self.topics.add(Topic.READY if state == "queued" else Topic.DUE)
            if is_plain(task):
                self._plain.append(plain_row(task, state))
            else:
                self._add_full(task, state, waits)

    def _add_full(self, task: NewTask, state: str, waits: Mapping[str, str]) -> None:
        row = full_row(task, state)
        schedule_id = task.extras.schedule_id
        self._full.append((*row[:-1], schedule_id, row[-1]))
        self._labels += [(task.id, name, value) for name, value in task.extras.labels.items()]
        if schedule_id is not None:
            self.runs.append((schedule_id, task.id, waits.get(task.id)))

    def statements(self) -> list[tuple[str, list[Any]]]:
        """Return each statement that is needed, with its arrays."""
        parts: list[tuple[str, list[Any]]] = [("insert_plain", columns(rows)) for rows in cut(self._plain)]
        for rows in cut(self._full):
            ids = {row[0] for row in rows}
            labels = [label for label in self._labels if label[0] in ids]
            parts.append(("insert_full", [*columns(rows), *(columns(labels) or [[], [], []])]))
        return parts


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the columns of rows; none where there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)]


def cut(rows: Sequence[tuple[object, ...]]) -> Iterator[Sequence[tuple[object, ...]]]:
    """Cut rows into parts of which each is one message that the server can take in one piece."""
    part: list[tuple[object, ...]] = []
    size = 0
    for row in rows:
        length = len(str(row[10]))
        if part and (len(part) >= _MOST_ROWS or size + length > _MOST_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part
