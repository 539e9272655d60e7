"""Carrying rows from one store to another, chunk by chunk; each chunk is read back and compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from angelica.errors import StorageCorrupt
from angelica.storage.limit_rules import VERSION
from angelica.storage.move.plan import PARTS, QUEUE, REST, STATE, SUM, TABLES, TASKS, WORKERS, Row, Table, checksum
from angelica.storage.move.sides import Exporter, Importer, Side
from angelica.storage.move.target import CURSOR

PAGE: Final = 20_000
CHUNK: Final = 5_000
BYTES: Final = 24_000_000
"""What a chunk may take, by the stores' own measure."""
FEW: Final = 500
PASSES: Final = 5
"""The live passes over what has changed end when one finds few changes, or after so many."""

Batch = dict[str, Sequence[Row]]
Progress = Callable[[str, int, int | None], None]
"""Called with a table, how many rows of it have been copied, and how many there are (None: nobody knows)."""


class Carrier:
    """Copies, and keeps the books: `rows` and `sums` (see `plan.checksum`) of what the target has, by table."""

    def __init__(self, source: Exporter, target: Importer, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._progress = progress
        self._after = ""
        self._expected: dict[str, int] = {}
        self.rows: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()

    def resume(self, text: str | None) -> None:
        """Go on from the books that the target keeps of its ended tasks."""
        if text is not None:
            kept = msgspec.json.decode(text)
            self._after = kept["after"]
            self.rows, self.sums = Counter(kept["rows"]), Counter(kept["sums"])

    # -- while the source is in use ---------------------------------------------------------------------------------

    async def copy_ended(self) -> None:
        """Copy all ended tasks while others go on ending, and are deleted."""
        self._expected = await self._source.totals((TASKS, *PARTS))
        async for ids, batch in self._ahead(self._chunks(self._pages(self._after, ended=True))):
            self._after = ids[-1]
            await self._carry(batch, ended=True)
        for _ in range(PASSES):
            if await self._catch_up() <= FEW:
                break

    async def _pages(self, after: str, *, ended: bool) -> AsyncIterator[list[str]]:
        while page := await self._source.ids(after, PAGE, ended=ended):
            after = page[-1]
            yield page

    async def _catch_up(self) -> int:
        """Make the ended tasks of both sides the same where their digests are not; return how many were not."""
        theirs, ours = await asyncio.gather(self._source.digest(), self._target.digest())
        found = 0
        for bucket in sorted({bucket for bucket, _ in set(theirs.items()) ^ set(ours.items())}):
            wanted, have = await asyncio.gather(self._source.ended_in(bucket), self._target.ended_in(bucket))
            gone = sorted({task_id for task_id, _ in set(have) - set(wanted)})
            new = sorted({task_id for task_id, _ in set(wanted) - set(have)})
            found += len(gone) + len(new)
            await self._drop(gone)
            async for _, batch in self._ahead(self._chunks(_one(new))):
                await self._carry(batch, ended=True)
        return found

    async def _drop(self, ids: Sequence[str]) -> None:
        for part in _cut(ids, CHUNK):
            batch = await self._read(self._target, part)
            self._book(batch, _sums(batch), -1)
            await self._target.load({}, _minus(_counts(batch)), self._notes(), drop=part)

    # -- while it is fenced -----------------------------------------------------------------------------------------

    async def copy_rest(self) -> None:
        """Copy what is left: ended tasks that have changed since, all others, and all that is no task."""
        await self._catch_up()
        async for _, batch in self._ahead(self._chunks(self._pages("", ended=False))):
            await self._carry(batch, ended=False)
        for table in REST:
            await self._copy_table(table)
        await self._copy_edition()

    async def _copy_edition(self) -> None:
        """Give the limits an edition that neither side has had: whoever has the target open may know it by those."""
        editions = [await side.note(VERSION) for side in (self._source, self._target)]
        known = [int(edition) for edition in editions if edition is not None]
        if known:
            await self._target.put_note(VERSION, str(max(known) + 1))

    async def _copy_table(self, table: Table) -> None:
        after: tuple[Any, ...] | None = None
        while rows := await self._source.page(table, after, CHUNK):
            batch: Batch = {table.name: rows}
            await self._target.load(batch, {}, {})
            sums = _sums(batch)
            _compare(batch, sums, {table.name: await self._target.page(table, after, len(rows))})
            self._book(batch, sums, 1)
            after = table.key_of(rows[-1])
            self._progress(table.name, self.rows[table.name], None)

    async def copy_holders(self) -> int:
        """Copy the workers that hold running tasks, with what is left of their leases; return how many tasks run.

        A lease is a moment of the store's clock, so it is counted anew in the target's. What still runs there is
        trusted until then, as it would be if its worker had lost the store: nobody starts it a second time beside it.
        """
        source, target = await self._source.now(), await self._target.now()
        lease, boot = WORKERS.columns.index("lease_until"), WORKERS.columns.index("boot")
        rows = []
        for row in await self._source.holders():
            left = max(row[lease] - source.tick, 0) if row[boot] == source.boot else 0
            moved = {"boot": target.boot, "lease_until": target.tick + left}
            rows.append(tuple(moved.get(name, value) for name, value in zip(WORKERS.columns, row, strict=True)))
        if rows:
            await self._target.load({WORKERS.name: rows}, {}, {})
        return await self._source.running()

    # -- proving ----------------------------------------------------------------------------------------------------

    async def verify(self) -> None:
        """Compare counts of both sides by table, and of tasks by queue and state; rows were compared one by one."""
        theirs, ours = await asyncio.gather(self._source.totals(TABLES), self._target.totals(TABLES))
        for table in TABLES:
            name = table.name
            if not theirs[name] == ours[name] == self.rows[name]:
                raise StorageCorrupt(
                    f"{name}: {theirs[name]} rows in the source, {ours[name]} in the target, {self.rows[name]} copied; "
                    "does `angelica db check` find rows without their task?"
                )
        if await self._source.counts() != await self._target.counts():
            # The counters of the source may be wrong: those of the target were counted from rows.
            rows, copied = await asyncio.gather(self._source.counted(), self._target.counted())
            if rows != copied or copied != await self._target.counts():
                raise StorageCorrupt("the tasks of both sides differ in how many there are of a state")

    # -- chunks -----------------------------------------------------------------------------------------------------

    async def _chunks(self, pages: AsyncIterator[list[str]]) -> AsyncIterator[list[str]]:
        """Cut pages of ids into chunks that fit into memory."""
        async for page in pages:
            sizes = await self._source.sizes(page)
            chunk: list[str] = []
            total = 0
            for task_id, size in zip(page, sizes, strict=True):
                if chunk and (len(chunk) >= CHUNK or total + size > BYTES):
                    yield chunk
                    chunk, total = [], 0
                chunk.append(task_id)
                total += size
            if chunk:
                yield chunk

    async def _ahead(self, chunks: AsyncIterator[list[str]]) -> AsyncIterator[tuple[list[str], Batch]]:
        """Yield the rows of each chunk, and read the next ones while these are written."""

        async def read() -> tuple[list[str], Batch] | None:
            async for ids in chunks:
                return ids, await self._read(self._source, ids)
            return None

        loop = asyncio.get_running_loop()
        reading = loop.create_task(read())
        try:
            while (found := await reading) is not None:
                reading = loop.create_task(read())
                yield found
        finally:
            reading.cancel()

    async def _read(self, side: Side, ids: Sequence[str]) -> Batch:
        tasks = await side.tasks(ids)
        found = {row[0] for row in tasks}
        batch: Batch = {TASKS.name: tasks}
        for table in PARTS:
            # One that was deleted since it was listed may have left some of its rows in this answer.
            batch[table.name] = [row for row in await side.parts(table, ids) if row[0] in found]
        return batch

    async def _carry(self, batch: Batch, *, ended: bool) -> None:
        sums = _sums(batch)
        self._book(batch, sums, 1)
        await self._target.load(batch, _counts(batch), self._notes() if ended else {})
        back = await self._read(self._target, [row[0] for row in batch[TASKS.name]])
        _compare(batch, sums, back)
        for name, rows in batch.items():
            if rows:
                self._progress(name, self.rows[name], self._expected.get(name))

    def _book(self, batch: Batch, sums: Mapping[str, int], sign: int) -> None:
        for name, rows in batch.items():
            self.rows[name] += sign * len(rows)
            self.sums[name] = (self.sums[name] + sign * sums[name]) % SUM

    def _notes(self) -> dict[str, str]:
        kept = {"after": self._after, "rows": self.rows, "sums": self.sums}
        return {CURSOR: msgspec.json.encode(kept).decode()}


async def _one(ids: list[str]) -> AsyncIterator[list[str]]:
    for part in _cut(ids, PAGE):
        yield list(part)


def _cut(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _counts(batch: Mapping[str, Sequence[Row]]) -> Counter[tuple[str, str]]:
    return Counter((row[QUEUE], row[STATE]) for row in batch[TASKS.name])


def _minus(counts: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: -n for key, n in counts.items()}


def _sums(batch: Batch) -> dict[str, int]:
    return {name: checksum(rows) for name, rows in batch.items()}


def _compare(batch: Batch, sums: Mapping[str, int], back: Batch) -> None:
    for name, rows in batch.items():
        if len(rows) != len(back[name]) or sums[name] != checksum(back[name]):
            first = "" if not rows else f" from {rows[0][0]!r} on"
            raise StorageCorrupt(f"{name}: what the target has{first} is not what was copied")
