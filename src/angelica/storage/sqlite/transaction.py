"""One write transaction as the verbs see it: statements by name, counter deltas, and what it has to ring for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw

from angelica.storage.protocol import Topic
from angelica.storage.rows import from_json, to_json

Value = str | int | None
Mark = tuple[dict[tuple[str, str], int], set[Topic]]


class Over(NamedTuple):
    """A run of a schedule that has ended; `failed` is None for a cancelled one."""

    schedule_id: str
    task_id: str
    ended_at: int
    failed: bool | None


class Clash(Exception):
    """A set-based write met a row it did not expect: the transaction is undone and done again, item by item."""


class Statements:
    """The verbs of a connection. Every statement takes and gives whole batches as one JSON text.

    SQLite releases the interpreter at each step of a statement, so a statement a row, or a row a step, costs a fight
    for the interpreter each (5 ms beside a busy loop).
    """

    __slots__ = ("_connection", "_verbs")

    def __init__(self, connection: apsw.Connection, verbs: Mapping[str, str]) -> None:
        self._connection = connection
        self._verbs = verbs

    def value(self, verb: str, *values: Value) -> Any:
        """Return the first column of the first row, None without one."""
        return self.query(self._verbs[verb], values)

    def first(self, verb: str, *values: Value) -> tuple[Any, ...]:
        """Return the first row of a statement that always gives one."""
        return self._connection.execute(self._verbs[verb], values).fetchall()[0]

    def rows(self, verb: str, *values: Value) -> list[Any]:
        """Return the JSON array that a statement gives as one value."""
        text = self.query(self._verbs[verb], values)
        return [] if text is None or text == "[]" else list(from_json(text))

    def filtered(self, verb: str, where: str, values: Sequence[Value]) -> list[Any]:
        """Return the rows of a verb that leaves its filter open; `where` is put together from fixed parts."""
        return list(from_json(self.query(self._verbs[verb].replace("/* where */", where), values)))

    def query(self, text: str, values: Sequence[Value]) -> Any:
        """Return the first column of the first row of a statement."""
        # To the end, not to the first row: a statement left open holds its snapshot.
        rows = self._connection.execute(text, values).fetchall()
        return rows[0][0] if rows else None


class Transaction(Statements):
    """One write transaction; never leaves the writer's thread.

    `careful` is set when the first try clashed: verbs then look before they write. `topics` are what it has to ring
    for after the commit. `over` are the runs of schedules that have ended in this call and are still to be settled.
    """

    __slots__ = ("_deltas", "careful", "over", "topics")

    def __init__(self, connection: apsw.Connection, verbs: Mapping[str, str], *, careful: bool = False) -> None:
        super().__init__(connection, verbs)
        self._deltas: dict[tuple[str, str], int] = {}
        self.careful = careful
        self.topics: set[Topic] = set()
        self.over: list[Over] = []

    def run(self, verb: str, *values: Value) -> int:
        """Run a statement and return how many rows it changed."""
        self._connection.execute(self._verbs[verb], values).fetchall()
        return self._connection.changes()

    def count(self, queue: str, state: str, n: int) -> None:
        """Change the counter of (queue, state)."""
        key = (queue, state)
        deltas = self._deltas
        deltas[key] = deltas.get(key, 0) + n

    def finish(self) -> None:
        """Write what was gathered on the way; the last thing before the commit."""
        rows = [(queue, state, n) for (queue, state), n in self._deltas.items() if n]
        self._deltas = {}
        if rows:
            self.run("add_counts", to_json(rows))

    def savepoint(self) -> Mark:
        """Begin a part that can be undone by `undo` with what this returns."""
        self._connection.execute("savepoint part")
        return dict(self._deltas), set(self.topics)

    def keep(self) -> None:
        """Keep the part."""
        self._connection.execute("release part")

    def undo(self, mark: Mark) -> None:
        """Undo the part."""
        self._connection.execute("rollback to part; release part")
        self._deltas, self.topics = mark
        self.over = []
