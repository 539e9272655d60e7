"""The SQLite storage as a side of a move: its rows as they are, read and written past the fence."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from angelica.clock import Now
from angelica.domain.fence import Fence
from angelica.domain.task import State
from angelica.errors import Conflict
from angelica.storage.move.fences import KEY, Judge, fence_of, fence_text
from angelica.storage.move.plan import PARTS, REST, TASKS, WORKERS, Row, Table
from angelica.storage.move.sides import Counts, Digest, Ended
from angelica.storage.move.statements import BUCKET, Dialect
from angelica.storage.protocol import Topic
from angelica.storage.rows import to_json
from angelica.storage.sqlite.opened import Opened, Options
from angelica.storage.sqlite.storeclock import StoreClock
from angelica.storage.sqlite.transaction import SqliteStatements, SqliteTransaction

R = TypeVar("R")

_DIALECT: Final = Dialect(
    "", lambda place: f"?{place}", "in (select value from json_each(?1))", "?", "indexed by retained"
)
_TABLES: Final = {table.name: table for table in (TASKS, *PARTS, *REST, WORKERS)}
_SIZES: Final = _DIALECT.sizes(PARTS[-1])
_DROP_NOTE: Final = "delete from meta where key = ?1"
_HOLDERS: Final = "where id in (select worker from tasks where state = 'running') order by id"


class SqliteSide:
    """One file as a side of a move. A `clock` replaces the one kept in the file."""

    def __init__(self, path: Path, clock: StoreClock | None = None, *, auto_migrate: bool = True) -> None:
        self.shown = f"sqlite:///{path.absolute()}"
        self._path = path.absolute()
        self._clock = clock or StoreClock(None)
        self._options = Options(auto_migrate=auto_migrate, mover=True)
        self._open: Opened | None = None
        self._lock = -1

    async def open(self) -> None:
        self._open = opened = await asyncio.to_thread(Opened, self._path, self._clock, self._options)
        self._lock = opened.run.open_file("move.lock")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await self.close()
            raise Conflict(f"another move of {self.shown} is under way") from None

    async def close(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            os.close(self._lock)
            await asyncio.to_thread(opened.close)

    async def now(self) -> Now:
        return self._clock.now()

    # -- the fence --------------------------------------------------------------------------------------------------

    async def arm(self) -> None:
        """Nothing to do: the one writer of each process looks at the fence in each transaction."""

    async def disarm(self) -> None:
        """Nothing to do."""

    async def fence(self) -> Fence | None:
        return fence_of(await self.note(KEY))

    async def swap_fence(self, judge: Judge) -> Fence | None:
        async def work(tx: SqliteTransaction) -> Fence | None:
            fence = judge(fence_of(await tx.value("meta", KEY)), self._clock.wall())
            await _note(tx, KEY, None if fence is None else fence_text(fence))
            tx.topics |= {Topic.CONTROL, Topic.READY}
            return fence

        return await self._write(work)

    async def note(self, key: str) -> str | None:
        text: str | None = await self._read(lambda db: db.value("meta", key))
        return text

    async def put_note(self, key: str, text: str | None) -> None:
        await self._write(partial(_note, key=key, text=text))

    # -- reading ----------------------------------------------------------------------------------------------------

    async def ids(self, after: str, limit: int, *, ended: bool) -> list[str]:
        return [row[0] for row in await self._rows(_DIALECT.ids(ended=ended), (after, limit))]

    async def digest(self) -> Digest:
        return {bucket: (n, total) for bucket, n, total in await self._rows(_DIALECT.digest(), ())}

    async def ended_in(self, bucket: int) -> list[Ended]:
        span = () if bucket < 0 else (bucket * BUCKET, (bucket + 1) * BUCKET)
        return await self._rows(_DIALECT.ended_in(kept=not span), span)

    async def sizes(self, ids: Sequence[str]) -> list[int]:
        found: dict[str, int] = {}
        for text in _SIZES:
            for task_id, size in await self._rows(text, (to_json(ids),)):
                found[task_id] = found.get(task_id, 0) + size
        return [found.get(task_id, 0) for task_id in ids]

    async def tasks(self, ids: Sequence[str]) -> list[Row]:
        return await self._rows(_DIALECT.chosen(TASKS), (to_json(ids),))

    async def parts(self, table: Table, ids: Sequence[str]) -> list[Row]:
        return await self._rows(_DIALECT.chosen(table), (to_json(ids),))

    async def page(self, table: Table, after: Sequence[Any] | None, limit: int) -> list[Row]:
        return await self._rows(_DIALECT.page(table, first=after is None), (*(after or ()), limit))

    async def counts(self) -> Counts:
        rows = await self._rows("select queue, state, n from counters where n <> 0", ())
        return {(queue, state): n for queue, state, n in rows}

    async def counted(self) -> Counts:
        return {(queue, state): n for queue, state, n in await self._rows(_DIALECT.counted(), ())}

    async def totals(self, tables: Iterable[Table]) -> dict[str, int]:
        return {table.name: (await self._rows(_DIALECT.total(table), ()))[0][0] for table in tables}

    async def running(self) -> int:
        return sum(n for (_, state), n in (await self.counts()).items() if state == State.RUNNING)

    async def holders(self) -> list[Row]:
        return await self._rows(_DIALECT.select(WORKERS, _HOLDERS), ())

    # -- writing ----------------------------------------------------------------------------------------------------

    async def load(
        self, rows: Mapping[str, Sequence[Row]], counts: Counts, notes: Mapping[str, str], *, drop: Sequence[str] = ()
    ) -> None:
        async def work(tx: SqliteTransaction) -> None:
            for table in (TASKS, *PARTS) if drop else ():
                tx.fetch(_DIALECT.drop(table), (to_json(drop),))
            for name, some in rows.items():
                if some:
                    tx.many(_insert(_TABLES[name]), some)
            for (queue, state), n in counts.items():
                tx.count(queue, state, n)
            for key, text in notes.items():
                await _note(tx, key, text)

        await self._write(work)

    async def reset(self, *, everything: bool) -> None:
        async def work(tx: SqliteTransaction) -> None:
            for table in (*PARTS, TASKS):  # the tasks last: the others are found through them
                tx.fetch(_DIALECT.clear(table) if everything else _DIALECT.drop_open(table), ())
            for table in (*REST, WORKERS):
                tx.fetch(_DIALECT.clear(table), ())
            tx.fetch("delete from counters", ())
            for queue, state, n in tx.fetch(_DIALECT.counted(), ()):
                tx.count(queue, state, n)

        await self._write(work)

    # -- the two ways in --------------------------------------------------------------------------------------------

    async def _rows(self, text: str, values: Sequence[Any]) -> list[Any]:
        async def work(db: SqliteStatements) -> list[Any]:
            return db.fetch(text, values)

        return await self._read(work)

    async def _read(self, work: Callable[[SqliteStatements], Coroutine[Any, Any, R]]) -> R:
        assert self._open is not None
        answer: R = await self._open.readers.read(work, bounded=False)
        return answer

    async def _write(self, work: Callable[[SqliteTransaction], Coroutine[Any, Any, R]]) -> R:
        assert self._open is not None
        answer: R = await self._open.writer.call(work)
        return answer


async def _note(tx: SqliteTransaction, key: str, text: str | None) -> None:
    if text is None:
        tx.fetch(_DROP_NOTE, (key,))
    else:
        await tx.run("put_meta", key, text)


def _insert(table: Table) -> str:
    marks = ", ".join("?" for _ in table.columns)
    return " ".join(["insert into", table.name, "(", ", ".join(table.columns), ") values (", marks, ")"])
