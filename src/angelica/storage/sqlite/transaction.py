"""One write transaction of a SQLite connection as the verbs see it; its coroutines never wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from angelica.domain.task import NOTHING, NewTask
from angelica.storage.protocol import Topic
from angelica.storage.rows import from_json, to_json
from angelica.storage.sqlite.parcel import MOST_CHARACTERS, Parcel, Piece
from angelica.storage.verbs.transaction import Clash, Freed, Lockable, Over, Value

Mark = tuple[dict[tuple[str, str], int], set[Topic]]

_ROWID_INDEXES: Final = {"schedules_key": "sqlite_autoindex_schedules_1"}


class SqliteStatements:
    """The verbs of a connection. Every statement takes and gives whole batches as one JSON text.

    SQLite releases the interpreter at each step of a statement, so a statement a row, or a row a step, costs a fight
    for the interpreter each (5 ms beside a busy loop).
    """

    __slots__ = ("_connection", "_verbs")

    prefix = ""
    source_term = """declared ->> '$."$source"'"""

    def __init__(self, connection: apsw.Connection, verbs: Mapping[str, str]) -> None:
        self._connection = connection
        self._verbs = verbs

    async def value(self, verb: str, *values: Value) -> Any:
        return self.query(self._verbs[verb], values)

    async def rows(self, verb: str, *values: Value) -> list[Any]:
        return self.look(verb, *values)

    async def filtered(self, verb: str, where: str, values: Sequence[Value]) -> list[Any]:
        return list(from_json(self.query(self._verbs[verb].replace("/* where */", where), values)))

    def way(self, index: str) -> str:
        return f"indexed by {_ROWID_INDEXES.get(index, index)}"

    def among(self, index: str) -> str:
        return ""

    def look(self, verb: str, *values: Value) -> list[Any]:
        """Return the JSON array that a statement gives as one value."""
        text = self.query(self._verbs[verb], values)
        return [] if text is None or text == "[]" else list(from_json(text))

    def first(self, verb: str, *values: Value) -> tuple[Any, ...]:
        """Return the first row of a statement that always gives one."""
        return self._connection.execute(self._verbs[verb], values).fetchall()[0]

    def fetch(self, text: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        """Return all rows of a statement, one step each: for what has its thread to itself."""
        return self._connection.execute(text, values).fetchall()

    def query(self, text: str, values: Sequence[Value]) -> Any:
        """Return the first column of the first row of a statement."""
        # To the end, not to the first row: a statement left open holds its snapshot.
        rows = self._connection.execute(text, values).fetchall()
        return rows[0][0] if rows else None


class SqliteTransaction(SqliteStatements):
    """One write transaction; never leaves the writer's thread. All other writers wait until its end."""

    __slots__ = ("_deltas", "careful", "counted", "freed", "left", "over", "topics")

    def __init__(self, connection: apsw.Connection, verbs: Mapping[str, str], *, careful: bool = False) -> None:
        super().__init__(connection, verbs)
        self._deltas: dict[tuple[str, str], int] = {}
        self.careful = careful
        self.topics: set[Topic] = set()
        self.over: list[Over] = []
        self.left: Counter[str] = Counter()
        self.counted: set[str] = set()
        self.freed: list[Freed] = []

    async def run(self, verb: str, *values: Value) -> int:
        return self.do(verb, *values)

    async def insert(self, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
        self.store([Parcel([(tasks, wall)], waits)])

    async def lock(self, kind: Lockable, names: Sequence[str]) -> None:
        """Nothing to do: the file has one writer at a time."""

    async def levels(
        self, kinds: Sequence[str], queues: Sequence[str] | None, select: Mapping[str, str]
    ) -> Sequence[Sequence[Any]]:
        names = None if queues is None else to_json(queues)
        if select:
            return self.look("selected_levels", to_json(kinds), names, to_json(dict(select)))
        return self.look("ready_levels", to_json(kinds), names)

    def do(self, verb: str, *values: Value) -> int:
        """Run a statement and return how many rows it changed."""
        self._connection.execute(self._verbs[verb], values).fetchall()
        return self._connection.changes()

    def many(self, text: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement once for each row."""
        self._connection.executemany(text, rows)

    def count(self, queue: str, state: str, n: int) -> None:
        key = (queue, state)
        deltas = self._deltas
        deltas[key] = deltas.get(key, 0) + n

    def store(self, parcels: Sequence[Parcel]) -> None:
        """Store the tasks of many calls in one go; raises `Clash` if one of them stands already."""
        self._store_pieces("insert_plain", [piece for parcel in parcels for piece in parcel.plain])
        self._store_pieces("insert_full", [piece for parcel in parcels for piece in parcel.full])
        labels = [label for parcel in parcels for label in parcel.labels]
        if labels:
            self.do("insert_labels", to_json(labels))
        runs = [run for parcel in parcels for run in parcel.runs]
        if runs:
            self.do("insert_runs", to_json(runs))
        for parcel in parcels:
            for (queue, state), n in parcel.counts.items():
                self.count(queue, state, n)
                if state != "waiting":
                    self.topics.add(Topic.READY if state == "queued" else Topic.DUE)

    def _store_pieces(self, verb: str, pieces: Sequence[Piece]) -> None:
        texts: list[str] = []
        rows = size = 0
        last = len(pieces) - 1
        for position, (text, count) in enumerate(pieces):
            texts.append(text)
            rows += count
            size += len(text)
            if position == last or size > MOST_CHARACTERS:
                if self.do(verb, f"[{','.join(texts)}]") != rows:
                    raise Clash
                texts, rows, size = [], 0, 0

    def finish(self) -> None:
        """Write what was gathered on the way; the last thing before the commit."""
        rows = [(queue, state, n) for (queue, state), n in self._deltas.items() if n]
        self._deltas = {}
        if rows:
            self.do("add_counts", to_json(rows))

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
        self.left = Counter()
