"""One transaction on one connection as the verbs see it: statements by name, and the hot statements beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from angelica.domain.task import NOTHING, NewTask
from angelica.storage.postgres.batch import Batch
from angelica.storage.postgres.connections import BOUNDS, Raw
from angelica.storage.postgres.texts import storable_json
from angelica.storage.protocol import Topic
from angelica.storage.rows import from_json, to_json
from angelica.storage.verbs.transaction import Clash, Freed, Lockable, Over, Value

SLOTS: Final = 64

# The `offset` has the list be walked and each task be looked up, also by a planner that takes one of them for empty.
_LISTED: Final = (
    "angelica.listing listing join lateral (select * from angelica.tasks t where t.id = listing.id offset 0) tasks "
    "using (created_at, id)"
)
_OF_TASKS: Final = frozenset({"children", "retries", "running", "due", "failed", "cancelled"})
_INDEXED: Final = {"due": "scheduled", "failed": "failed", "cancelled": "cancelled"}


class PostgresStatements:
    """The verbs of a connection. A whole batch goes in as one JSON text, and comes back as one."""

    __slots__ = ("_verbs", "prefix", "raw")

    source_term = "source"

    def __init__(self, raw: Raw, verbs: Mapping[str, str], prefix: str) -> None:
        self.raw = raw
        self.prefix = prefix
        self._verbs = verbs

    async def value(self, verb: str, *values: Value) -> Any:
        return await self.raw.fetchval(self._verbs[verb], *values)

    async def rows(self, verb: str, *values: Value) -> list[Any]:
        text = await self.raw.fetchval(self._verbs[verb], *values)
        return [] if text is None else list(from_json(text))

    async def filtered(self, verb: str, where: str, values: Sequence[Value]) -> list[Any]:
        first, *rest = where.split("?")
        numbered = first + "".join(f"${place}{part}" for place, part in enumerate(rest, 1))
        text = await self.raw.fetchval(self._verbs[verb].replace("/* where */", numbered), *values)
        return [] if text is None else list(from_json(text))

    def way(self, index: str) -> str:
        if index == "listing":
            return _LISTED.replace("angelica.", self.prefix)
        return f"{self.prefix}tasks tasks" if index in _OF_TASKS else ""

    def among(self, index: str) -> str:
        if index == "running":
            return f"id = any (array(select unnest(ids) from {self.prefix}claims))"  # noqa: S608 - ours
        return f"indexed = '{_INDEXED[index]}'" if index in _INDEXED else ""

    @property
    def slot(self) -> int:
        """Which rows of the counters this connection changes."""
        return int(self.raw.get_server_pid()) % SLOTS

    async def fetch(self, verb: str, *values: Any) -> list[Any]:
        """Return the rows of a statement of the hot path."""
        rows: list[Any] = await self.raw.fetch(self._verbs[verb], *values)
        return rows


class PostgresTransaction(PostgresStatements):
    """One write transaction; others write at the same time."""

    __slots__ = ("_deltas", "_locked", "careful", "counted", "freed", "left", "over", "topics")

    def __init__(self, raw: Raw, verbs: Mapping[str, str], prefix: str, *, careful: bool = False) -> None:
        super().__init__(raw, verbs, prefix)
        self._deltas: dict[tuple[str, str], int] = {}
        self._locked: set[tuple[Lockable, str]] = set()
        self.careful = careful
        self.topics: set[Topic] = set()
        self.over: list[Over] = []
        self.left: Counter[str] = Counter()
        self.counted: set[str] = set()
        self.freed: list[Freed] = []

    async def run(self, verb: str, *values: Value) -> int:
        known = [storable_json(value) if isinstance(value, str) else value for value in values]
        status: str = await self.raw.execute(self._verbs[verb], *known)
        return int(status.rpartition(" ")[2])

    async def insert(self, tasks: Sequence[NewTask], wall: int, waits: Mapping[str, str] = NOTHING) -> None:
        if not tasks:
            return
        batch = Batch()
        batch.add(tasks, wall, waits)
        for verb, values in batch.tolerant():
            (row,) = await self.fetch(verb, self.slot, None, *values)
            if row["standing"] is not None:
                raise Clash
        await self.raw.execute(f"set local lock_timeout = '{BOUNDS['lock_timeout']}'")  # they were impatient
        runs = batch.runs
        if runs:
            await self.run("insert_runs", to_json(runs))
        self.topics |= batch.topics

    async def lock(self, kind: Lockable, names: Sequence[str]) -> None:
        wanted = {(kind, name) for name in names} - self._locked
        if wanted:
            await self.value(f"lock_{kind}", to_json(sorted(name for _, name in wanted)))
            self._locked |= wanted

    async def levels(
        self, kinds: Sequence[str], queues: Sequence[str] | None, select: Mapping[str, str]
    ) -> Sequence[Sequence[Any]]:
        names = None if queues is None else list(queues)
        verb, wanted = ("selected_levels", (list(select), list(select.values()))) if select else ("ready_levels", ())
        return [tuple(row)[:4] for row in await self.fetch(verb, list(kinds), names, 0, *wanted)]

    def count(self, queue: str, state: str, n: int) -> None:
        key = (queue, state)
        self._deltas[key] = self._deltas.get(key, 0) + n

    async def finish(self) -> None:
        """Write what was gathered on the way; the last thing before the commit."""
        rows = [(queue, state, n) for (queue, state), n in self._deltas.items() if n]
        self._deltas = {}
        if rows:
            await self.run("add_counts", to_json(rows), self.slot)
