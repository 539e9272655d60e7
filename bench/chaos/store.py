"""The store as the harness sees it: a history written by triggers, in the same transaction as each change, and the end.

The engine's own tables say where a task stands; only a history says that it never stood where it must not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from angelica.storage.sqlite.adapter import SqliteStorage

_HISTORY: Final = """
create table chaos_history (
    seq integer primary key, task_id text, was text, now text, attempt integer, failures integer, crashes integer
);
create trigger chaos_inserted after insert on tasks begin
    insert into chaos_history (task_id, was, now, attempt, failures, crashes)
    values (new.id, null, new.state, new.attempt, new.failures, new.crashes);
end;
create trigger chaos_changed after update on tasks when old.state <> new.state or old.attempt <> new.attempt begin
    insert into chaos_history (task_id, was, now, attempt, failures, crashes)
    values (new.id, old.state, new.state, new.attempt, new.failures, new.crashes);
end;
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a task's state; `was` is None for its first."""

    task_id: str
    was: str | None
    now: str
    attempt: int
    failures: int
    crashes: int


@dataclass(frozen=True, slots=True)
class Row:
    """A task at the end; `reason` and `crashes` as stored, `result` as JSON gave it."""

    task_id: str
    state: str
    attempt: int
    failures: int
    crashes: int
    result: Any
    reason: str | None


class Store:
    """One SQLite file under attack. Uses the engine's own SQLite library: two of them on one file corrupt it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        asyncio.run(self._with(lambda _: _nothing()))
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(10_000)
        self._connection.execute(_HISTORY)

    def states(self) -> dict[str, int]:
        """Return how many tasks stand in each state."""
        return dict(self._connection.execute("select state, count(*) from tasks group by state").fetchall())

    def unfinished(self) -> int:
        """Return how many tasks have not ended."""
        return sum(n for state, n in self.states().items() if state not in ("succeeded", "failed", "cancelled"))

    def scalar(self, query: str, *values: object) -> Any:
        """Return the first column of the first row, None without one."""
        rows = self._connection.execute(query, values).fetchall()
        return rows[0][0] if rows else None

    def changes(self) -> list[Change]:
        """Return the history of all tasks, in the order of the commits."""
        query = "select task_id, was, now, attempt, failures, crashes from chaos_history order by seq"
        return [Change(*row) for row in self._connection.execute(query).fetchall()]

    def rows(self) -> dict[str, Row]:
        """Return all tasks as they stand."""
        query = "select id, state, attempt, failures, crashes, result, error from tasks"
        return {row[0]: Row(*row[:5], _json(row[5]), _reason(row[6])) for row in self._connection.execute(query)}

    def outcomes(self) -> dict[tuple[str, int], str]:
        """Return how each attempt ended that did not succeed."""
        found = self._connection.execute("select task_id, attempt, outcome from attempts").fetchall()
        return {(task_id, attempt): outcome for task_id, attempt, outcome in found}

    def leases(self) -> int:
        """Return how many tasks somebody holds."""
        return int(self.scalar("select count(*) from tasks where state = 'running'"))

    def check(self) -> tuple[str, ...]:
        """Return what the engine's own check finds wrong: SQLite's integrity, the counters against the rows."""
        return asyncio.run(self._with(lambda storage: storage.check())).problems  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    async def _with(self, work: Callable[[SqliteStorage], Any]) -> Any:
        storage = SqliteStorage(self.path)
        await storage.open()
        try:
            return await work(storage)
        finally:
            await storage.close()


async def _nothing() -> None:
    return None


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _reason(text: str | None) -> str | None:
    return None if text is None else _json(text)["reason"]
