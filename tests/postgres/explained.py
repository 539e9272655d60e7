"""A connection that explains each statement before it runs it, as the session would: prepared, with generic plans."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from angelica.storage.postgres.adapter import PostgresStorage

SCANS = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan")


@dataclass
class Plan:
    """How one statement ran: the indexes that each table was reached by ("" for a scan of all), and rows touched."""

    ways: dict[str, set[str]] = field(default_factory=dict)
    touched: Counter[str] = field(default_factory=Counter)
    blocks: int = 0

    @classmethod
    def read(cls, text: str) -> Plan:
        (told,) = json.loads(text)
        plan = cls(blocks=told["Plan"].get("Shared Hit Blocks", 0) + told["Plan"].get("Shared Read Blocks", 0))
        plan._walk(told["Plan"])
        return plan

    def _walk(self, node: Mapping[str, Any], table: str = "") -> None:
        kind, table = node["Node Type"], node.get("Relation Name", table)
        if kind in SCANS:
            removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
            self.touched[table] += round((node["Actual Rows"] + removed) * node["Actual Loops"])
        if kind == "Tid Scan":
            self.ways.setdefault(table, set()).add("ctid")
        elif kind in SCANS and not kind.startswith("Bitmap"):
            self.ways.setdefault(table, set()).add(node.get("Index Name", ""))
        elif kind == "Bitmap Index Scan":
            self.ways.setdefault(table, set()).add(node["Index Name"])
            self.touched[table] += round(node["Actual Rows"] * node["Actual Loops"])
        for below in node.get("Plans", ()):
            self._walk(below, table)


class Explained:
    """The adapter's view of a connection; whatever it writes is undone when the call is over."""

    def __init__(self, raw: Any, plans: dict[str, Plan], names: Mapping[str, str]) -> None:
        self._raw = raw
        self._plans = plans
        self._names = names

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    async def fetch(self, text: str, *values: Any) -> Any:
        return await self._run("fetch", text, values)

    async def fetchval(self, text: str, *values: Any) -> Any:
        return await self._run("fetchval", text, values)

    async def execute(self, text: str, *values: Any) -> Any:
        return await self._run("execute", text, values)

    async def _run(self, how: str, text: str, values: tuple[Any, ...]) -> Any:
        await self._explain(text, values)
        async with self._raw.transaction():  # one that is refused must not end the transaction around it
            return await getattr(self._raw, how)(text, *values)

    async def _explain(self, text: str, values: tuple[Any, ...]) -> None:
        if text.startswith(("select pg_notify", "set ")):
            return
        prepared = False
        await self._raw.execute("savepoint explained")
        try:
            await self._raw.execute(f"prepare explained as {text}")
            prepared = True
            given = ", ".join(sql.Literal(value).as_string() for value in values)
            execute = f"execute explained{f'({given})' if values else ''}"
            told = await self._raw.fetchval(f"explain (analyze, buffers, timing off, format json) {execute}")
            self._plans[self._names.get(text, text)] = Plan.read(told)
        finally:
            await self._raw.execute("rollback to savepoint explained")
            if prepared:  # which is not undone
                await self._raw.execute("deallocate explained")


def explain(storage: PostgresStorage) -> dict[str, Plan]:
    """Have a storage explain all that it runs; the plans come by verb, or by text where it has none."""
    plans: dict[str, Plan] = {}
    names = {text: verb for verb, text in storage._verbs.items()}
    connections = storage._here()[0]
    lend = connections.use

    @asynccontextmanager
    async def use() -> AsyncIterator[Any]:
        async with lend() as raw:
            around = raw.transaction()
            await around.start()
            try:
                yield Explained(raw, plans, names)
            finally:
                await around.rollback()

    connections.use = use
    return plans
