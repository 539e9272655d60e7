"""What the PostgreSQL storage stands on: the connections of each event loop, and the two ways to run a verb."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Final, TypeVar

from angelica.domain.task import NewTask
from angelica.errors import StorageUnavailable
from angelica.storage.postgres.address import Address
from angelica.storage.postgres.batch import Batch, Statement
from angelica.storage.postgres.claimed import Claimed
from angelica.storage.postgres.connections import Connections, Options, Raw
from angelica.storage.postgres.faults import REPEATABLE, STANDING
from angelica.storage.postgres.heads import Heads
from angelica.storage.postgres.ring import Ring
from angelica.storage.postgres.submits import Call, Submits, stored_topics
from angelica.storage.postgres.transaction import PostgresStatements, PostgresTransaction
from angelica.storage.protocol import Enqueued
from angelica.storage.rows import to_json
from angelica.storage.sql import load_verbs
from angelica.storage.verbs.submit import submit
from angelica.storage.verbs.transaction import Clash

R = TypeVar("R")

TRIES: Final = 20
"""How often a transaction that met another one is done again."""

_TELL: Final = "select pg_notify($1, $2)"


class PostgresCore:
    """One store as this process sees it. Every verb is one transaction; a read is one statement or several."""

    def __init__(self, address: Address, options: Options, *, chance: Callable[[], float], name: str) -> None:
        self.address = address
        self._options = options
        self._chance = chance
        self._verbs: Mapping[str, str] = {
            verb: address.adapt(text) for verb, text in load_verbs("angelica.storage.postgres.queries").items()
        }
        self._prefix = f"{address.schema}."
        self._lock = Lock()
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Connections, Submits]] = {}
        self._ring = Ring(options, name, tell=self._tell, chance=chance)
        self._pid = 0
        self._counted: set[str] = set()
        self._heads = Heads(self._write)
        self._claimed = Claimed()

    def _here(self) -> tuple[Connections, Submits]:
        """Return the connections and the submits of the running event loop."""
        if self._pid != os.getpid():
            if self._pid:
                raise StorageUnavailable("the storage was opened before a fork: open it in the process that uses it")
            raise StorageUnavailable("the storage is not open")
        loop = asyncio.get_running_loop()
        found = self._loops.get(loop)
        if found is None:
            with self._lock:
                for gone in [known for known in self._loops if known.is_closed()]:
                    self._loops.pop(gone)[0].abandon()
                found = Connections(self._options, self._chance), Submits(self._insert, self._judge)
                self._loops[loop] = found
        return found

    async def _read(self, work: Callable[[PostgresStatements], Awaitable[R]]) -> R:
        async with self._here()[0].use() as raw:
            if self.address.pooler is None:
                return await work(PostgresStatements(raw, self._verbs, self._prefix))
            async with raw.transaction():
                await self._settle_in(raw)
                return await work(PostgresStatements(raw, self._verbs, self._prefix))

    async def _write(self, work: Callable[[PostgresTransaction], Awaitable[R]]) -> R:
        async with self._here()[0].use() as raw:
            for count in range(TRIES):
                tx = PostgresTransaction(raw, self._verbs, self._prefix, careful=count > 0)
                try:
                    value = await self._transact(tx, work)
                except (Clash, *REPEATABLE):
                    await asyncio.sleep(self._chance() * 0.002 * count)
                    continue
                return value
        raise StorageUnavailable(f"others were in the way {TRIES} times")

    async def _transact(self, tx: PostgresTransaction, work: Callable[[PostgresTransaction], Awaitable[R]]) -> R:
        async with tx.raw.transaction():
            if self.address.pooler is not None:
                await self._settle_in(tx.raw)
            value = await work(tx)
            await tx.finish()
            self._counted |= tx.counted  # before the commit: one too many costs nothing
            payload = self._ring.payload(tx.topics)
            if payload is not None:
                await tx.raw.execute(_TELL, self.address.channel, payload)
        self._heads.move_back(tx.freed)
        self._ring.committed(tx.topics, told=payload is not None)
        return value

    async def _settle_in(self, raw: Raw) -> None:
        """Set a pooled connection up for this one transaction."""
        await raw.execute("; ".join(f"set local {name} = '{value}'" for name, value in self._options.settings.items()))

    async def _alone(self, work: Callable[[PostgresStatements], Awaitable[R]]) -> R:
        """Run one statement of the hot path, which is a transaction of its own."""
        async with self._here()[0].use() as raw:
            db = PostgresStatements(raw, self._verbs, self._prefix)
            for count in range(TRIES):
                try:
                    if self.address.pooler is None:
                        return await work(db)
                    async with raw.transaction():
                        await self._settle_in(raw)
                        return await work(db)
                except REPEATABLE:
                    await asyncio.sleep(self._chance() * 0.002 * count)
        raise StorageUnavailable(f"others were in the way {TRIES} times")

    async def _tell(self, payload: str) -> None:
        async with self._here()[0].use() as raw:
            await raw.execute(_TELL, self.address.channel, payload)

    async def _insert(self, calls: Sequence[Call]) -> Counter[str]:
        batch = Batch()
        size = 0
        for call in calls:
            batch.add(call.tasks, call.wall)
            size += len(call.tasks)
        tell = self._ring.payload(batch.topics)
        try:
            standing = await self._store(batch, batch.statements(), tell)
        except STANDING:
            standing = await self._store(batch, batch.tolerant(), tell)
        if standing.total() < size:
            self._ring.committed(stored_topics(calls, standing) if standing else batch.topics, told=tell is not None)
        return standing

    async def _store(self, batch: Batch, statements: Sequence[Statement], tell: str | None) -> Counter[str]:
        """Write a batch as one transaction; return the ids that stood."""

        async def write(db: PostgresStatements) -> Counter[str]:
            standing: Counter[str] = Counter()
            for verb, values in statements:
                (row,) = await db.fetch(verb, db.slot, tell, *values)
                standing.update(row.get("standing") or ())
            return standing

        async def write_runs(tx: PostgresTransaction) -> Counter[str]:
            standing = await write(tx)
            new = [run for run in batch.runs if run[1] not in standing]
            if new:
                await tx.run("insert_runs", to_json(new))
            return standing

        if len(statements) == 1 and not batch.runs:
            return await self._alone(write)
        return await self._write(write_runs)

    async def _judge(self, tasks: Sequence[NewTask], wall: int) -> Enqueued:
        return await self._write(partial(submit, tasks=tasks, wall=wall))

    async def _close_loops(self) -> None:
        with self._lock:
            loops, self._loops = self._loops, {}
        here = asyncio.get_running_loop()
        mine = loops.pop(here, None)
        if mine is not None:
            await mine[1].close()
        await self._ring.close()
        if mine is not None:
            await mine[0].close()
        for loop, (connections, _) in loops.items():
            if loop.is_closed():
                connections.abandon()
                continue
            with suppress(RuntimeError):  # it has been closed at this very moment
                loop.call_soon_threadsafe(connections.retire)
