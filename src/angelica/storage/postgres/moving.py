"""The PostgreSQL storage as a side of a move: its rows as all adapters have them, read and written past the fence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import asyncpg

from angelica.clock import Now
from angelica.domain.fence import Fence
from angelica.domain.task import State
from angelica.errors import Conflict, InvalidValue
from angelica.storage.move.fences import KEY, Judge, fence_of, fence_text
from angelica.storage.move.plan import EXTRAS, PARTS, REST, RUNS, TASKS, WORKERS, Row, Table, has_nul
from angelica.storage.move.sides import Counts, Digest, Ended
from angelica.storage.move.statements import Dialect
from angelica.storage.postgres.adapter import BOOT
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.connections import Options, Raw, connect
from angelica.storage.postgres.faults import translate
from angelica.storage.postgres.schema import migrate
from angelica.storage.postgres.texts import storable
from angelica.storage.rows import from_json
from angelica.storage.sql import load_verbs

R = TypeVar("R")

_TABLES: Final = {table.name: table for table in (TASKS, *PARTS, *REST, WORKERS)}
_REST: Final = (*(table.name for table in REST), WORKERS.name, "counters", "claims")
_FENCED: Final = (*_TABLES, "counters", "meta")
_HOLDERS: Final = (
    "where exists (select 1 from {schema}.claims c join {schema}.tasks t on t.id = any (c.ids) "
    "where c.worker = workers.id and t.worker = workers.id and t.state = 'running') order by id"
)
_WAKE: Final = "mover:cr"
"""A notification as `ring.py` reads it: control and ready."""
_JUDGED: Final = [TASKS.columns.index(name) for name in ("state", "held", "usage", "finished_at")]
_INDEXED: Final = frozenset({State.SCHEDULED, State.FAILED, State.CANCELLED})
_PATIENCE: Final = (
    "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '1s'; "
    "set synchronous_commit = on"  # whatever the server's default is: the other store is of no use afterwards
)
TRIES: Final = 20
PAUSE: Final = 0.5
"""A transaction of a user that has submitted may stay open for a while."""


class PostgresSide:
    """One schema as a side of a move: a connection for the rows, and one for the fence, which cannot wait for them."""

    def __init__(self, url: str, *, auto_migrate: bool = False) -> None:
        self._address = address = Address.parse(url)
        self.shown = address.shown
        self._migrate = auto_migrate
        self._verbs = {
            verb: address.adapt(text) for verb, text in load_verbs("angelica.storage.postgres.queries").items()
        }
        self._dialect = Dialect(f"{address.schema}.", lambda place: f"${place}", "= any($1::text[])", "?::int")
        self._connections: list[Raw] = []
        self._turns = (asyncio.Lock(), asyncio.Lock())

    async def open(self) -> None:
        if self._address.pooler is not None:
            hint = "leave out ?pooler= and name the server itself"
            raise InvalidValue("/url", "a move cannot go through a pooler", hint=hint)
        try:
            alone = await self._connect(Options(self._address))
        except BaseException:
            await self.close()
            raise
        if not alone:
            await self.close()
            raise Conflict(f"another move of {self.shown} is under way")

    async def _connect(self, options: Options) -> bool:
        """Make both connections and the schema; return whether no other mover is there."""
        for _ in self._turns:
            raw = await connect(options, name="angelica mover")
            self._connections.append(raw)
            await raw.execute(self._verbs["pass_fence"])
        async with self._control() as raw:
            await migrate(raw, self._address, allowed=self._migrate)
        for raw in self._connections:
            await raw.execute(_PATIENCE)
        return bool(await self._connections[-1].fetchval(self._verbs["only_mover"]))

    async def close(self) -> None:
        connections, self._connections = self._connections, []
        for raw in connections:
            with suppress(Exception):
                await raw.close(timeout=1.0)

    async def now(self) -> Now:
        async with self._control() as raw:
            _, wall = await self._fence_row(raw)
        return Now(wall, wall, BOOT)

    # -- the fence --------------------------------------------------------------------------------------------------

    async def arm(self) -> None:
        async with self._control() as raw:
            await raw.execute(self._verbs["fence_function"])
            for name in _FENCED:
                await self._patiently(partial(raw.execute, self._trigger("create or replace", name)))

    async def disarm(self) -> None:
        if await self.fence() is not None:
            return
        async with self._control() as raw:
            for name in _FENCED:
                await self._patiently(partial(raw.execute, self._trigger("drop", name)))
            await raw.execute(self._verbs["drop_fence_function"])

    def _trigger(self, action: str, table: str) -> str:
        on = f"{self._address.schema}.{table}"
        if action == "drop":
            return f"drop trigger if exists fence on {on}"
        function = f"{self._address.schema}.fence()"
        return f"{action} trigger fence before insert or update or delete on {on} execute function {function}"

    async def _patiently(self, work: Callable[[], Awaitable[R]]) -> R:
        """Do what needs a lock for itself. Others wait behind whoever waits, so it waits briefly, many times."""
        for _ in range(TRIES):
            try:
                return await work()
            except asyncpg.exceptions.LockNotAvailableError:
                await asyncio.sleep(PAUSE)
        return await work()

    async def fence(self) -> Fence | None:
        return fence_of(await self.note(KEY))

    async def swap_fence(self, judge: Judge) -> Fence | None:
        async with self._control() as raw:
            return await self._patiently(partial(self._swap, raw, judge))

    async def _swap(self, raw: Raw, judge: Judge) -> Fence | None:
        async with raw.transaction():
            await raw.execute(self._verbs["fence_lock"])
            fence = judge(*await self._fence_row(raw))
            await self._note(raw, KEY, None if fence is None else fence_text(fence))
            await raw.execute("select pg_notify($1, $2)", self._address.channel, _WAKE)
        return fence

    async def _fence_row(self, raw: Raw) -> tuple[Fence | None, int]:
        (row,) = await raw.fetch(self._verbs["fence_row"], KEY)
        return fence_of(row[0]), row[1]

    async def note(self, key: str) -> str | None:
        async with self._control() as raw:
            text: str | None = await raw.fetchval(self._verbs["meta"], key)
        return text

    async def put_note(self, key: str, text: str | None) -> None:
        async with self._control() as raw:
            await self._note(raw, key, text)

    async def _note(self, raw: Raw, key: str, text: str | None) -> None:
        if text is None:
            await raw.execute(self._verbs["drop_meta"], key)
        else:
            await raw.execute(self._verbs["put_meta"], key, text)

    # -- reading ----------------------------------------------------------------------------------------------------

    async def ids(self, after: str, limit: int, *, ended: bool) -> list[str]:
        return [row[0] for row in await self._rows(self._dialect.ids(ended=ended), after, limit)]

    async def digest(self) -> Digest:
        return {bucket: (n, total) for bucket, n, total in await self._scan(self._dialect.digest())}

    async def ended_in(self, bucket: int) -> list[Ended]:
        return await self._rows(self._verbs["ended_in"], bucket if bucket >= 0 else None)

    async def sizes(self, ids: Sequence[str]) -> list[int]:
        found: dict[str, int] = {}
        for text in self._dialect.sizes(PARTS[-1]):
            for task_id, size in await self._rows(text, list(ids)):
                found[task_id] = found.get(task_id, 0) + size
        return [found.get(task_id, 0) for task_id in ids]

    async def tasks(self, ids: Sequence[str]) -> list[Row]:
        return await self._rows(self._dialect.chosen(TASKS), list(ids))

    async def parts(self, table: Table, ids: Sequence[str]) -> list[Row]:
        return await self._rows(self._dialect.chosen(table), list(ids))

    async def page(self, table: Table, after: Sequence[Any] | None, limit: int) -> list[Row]:
        return await self._rows(self._dialect.page(table, first=after is None), *(after or ()), limit)

    async def counts(self) -> Counts:
        return {(queue, state): n for queue, state, n in await self._rows(self._verbs["move_counts"])}

    async def counted(self) -> Counts:
        return {(queue, state): n for queue, state, n in await self._scan(self._dialect.counted())}

    async def totals(self, tables: Iterable[Table]) -> dict[str, int]:
        return {table.name: (await self._scan(self._dialect.total(table)))[0][0] for table in tables}

    async def running(self) -> int:
        return sum(n for (_, state), n in (await self.counts()).items() if state == State.RUNNING)

    async def holders(self) -> list[Row]:
        rest = _HOLDERS.replace("{schema}", self._address.schema)
        return await self._rows(self._dialect.select(WORKERS, rest))

    # -- writing ----------------------------------------------------------------------------------------------------

    async def load(
        self, rows: Mapping[str, Sequence[Row]], counts: Counts, notes: Mapping[str, str], *, drop: Sequence[str] = ()
    ) -> None:
        async with self._data() as raw, raw.transaction():
            for table in PARTS if drop else ():
                await raw.execute(self._dialect.drop(table), list(drop))
            if drop:
                await raw.execute(self._verbs["drop_listed"], list(drop))
            for name, some in rows.items():
                if some:
                    await self._copy(raw, _TABLES[name], some)
            if rows.get(TASKS.name):
                await raw.execute(self._verbs["put_batches"], [row[0] for row in rows[TASKS.name]])
            await self._count(raw, counts)
            for key, text in notes.items():
                await self._note(raw, key, text)

    async def _copy(self, raw: Raw, table: Table, rows: Sequence[Row]) -> None:
        columns = table.columns
        if table is TASKS:
            columns = (*columns, "schedule_id", "indexed", "measured_at")
        await raw.copy_records_to_table(
            table.name, schema_name=self._address.schema, columns=columns, records=_stored(table, rows)
        )
        if table is RUNS:
            await raw.execute(self._verbs["go_on_from"], rows[-1][0])

    async def _count(self, raw: Raw, counts: Counts) -> None:
        if counts:
            found = [(queue, state, n) for (queue, state), n in counts.items()]
            await raw.execute(self._verbs["add_move_counts"], *[list(column) for column in zip(*found, strict=True)])

    async def reset(self, *, everything: bool) -> None:
        async with self._data() as raw, raw.transaction():
            for table in (*PARTS, TASKS):  # the tasks last: the others are found through them
                await raw.execute(self._dialect.clear(table) if everything else self._dialect.drop_open(table))
            for name in (*_REST, "retention") if everything else _REST:
                await raw.execute(" ".join(["delete from", f"{self._address.schema}.{name}"]))
            await raw.execute("set local enable_seqscan = on")
            await raw.execute(self._verbs["drop_unlisted"])
            counted = await raw.fetch(self._dialect.counted())
            await self._count(raw, {(queue, state): n for queue, state, n in counted})

    # -- the two connections ----------------------------------------------------------------------------------------

    async def _rows(self, text: str, *values: Any) -> list[Any]:
        async with self._data() as raw:
            return list(map(tuple, await raw.fetch(text, *values)))

    async def _scan(self, text: str) -> list[Any]:
        """Read a table from end to end, which our other statements are never to do."""
        async with self._data() as raw, raw.transaction():
            await raw.execute("set local enable_seqscan = on")
            return list(map(tuple, await raw.fetch(text)))

    @asynccontextmanager
    async def _data(self) -> AsyncIterator[Raw]:
        async with self._use(0) as raw:
            yield raw

    @asynccontextmanager
    async def _control(self) -> AsyncIterator[Raw]:
        async with self._use(1) as raw:
            yield raw

    @asynccontextmanager
    async def _use(self, place: int) -> AsyncIterator[Raw]:
        async with self._turns[place]:
            try:
                yield self._connections[place]
            except Exception as error:
                raise translate(error) from error


def _stored(table: Table, rows: Sequence[Row]) -> list[Row]:
    """Return rows as PostgreSQL keeps them: booleans, the column for the schedule, and no NUL."""
    made = list(rows)
    if has_nul(rows):
        made = [tuple(storable([value])[0] if isinstance(value, str) else value for value in row) for row in made]
    for place in [place for place, name in enumerate(table.columns) if name in table.flags]:
        made = [(*row[:place], row[place] == 1, *row[place + 1 :]) for row in made]
    if table is TASKS:
        made = [(*row, _schedule_of(row[EXTRAS]), *_indexed(row)) for row in made]
    return made


def _indexed(row: Row) -> tuple[str | None, int | None]:
    """Return the index of its state that a task is in, and when it ended if it was measured."""
    state, held, usage, finished_at = [row[place] for place in _JUDGED]
    ready = state == State.QUEUED and held is None
    index = "ready" if ready else state if state in _INDEXED else None
    return index, None if usage is None else finished_at


def _schedule_of(extras: str | None) -> str | None:
    known: str | None = None if extras is None or "schedule_id" not in extras else from_json(extras).get("schedule_id")
    return known
