"""The store in PostgreSQL, seen from outside: who keeps its history, and what stands in it at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg

from angelica.storage.postgres.adapter import PostgresStorage
from bench.chaos.store import Change, Row

_HISTORY: Final = """
create table angelica.chaos_history (
    seq bigint generated always as identity primary key, task_id text, was text, now text, attempt integer,
    failures integer, crashes integer
);
create function angelica.chaos_note() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into angelica.chaos_history (task_id, was, now, attempt, failures, crashes)
        values (new.id, null, new.state, new.attempt, new.failures, new.crashes);
    elsif old.state <> new.state or old.attempt <> new.attempt then
        insert into angelica.chaos_history (task_id, was, now, attempt, failures, crashes)
        values (new.id, old.state, new.state, new.attempt, new.failures, new.crashes);
    end if;
    return null;
end $$;
create trigger chaos_note after insert or update on angelica.tasks
for each row execute function angelica.chaos_note();
"""
# Of a statement in so many: what two transactions that meet are told, one of them to go first.
_CLASHES: Final = """
create or replace function angelica.chaos_clash() returns trigger language plpgsql as $$
begin
    if random() < {share} then
        raise exception 'so says the test' using errcode = (array['40001', '40P01'])[1 + floor(random() * 2)::int];
    end if;
    return null;
end $$;
create or replace trigger chaos_clash before insert or update on angelica.tasks
for each statement execute function angelica.chaos_clash();
"""
_UNFINISHED: Final = "select count(*) from angelica.tasks where state not in ('succeeded', 'failed', 'cancelled')"


class PostgresStore:
    """One schema `angelica` under attack; each question is a connection of its own, since none lasts here."""

    def __init__(self, url: str) -> None:
        self.url = url
        asyncio.run(self._make())
        self.ask(_HISTORY)

    async def _make(self) -> None:
        storage = PostgresStorage(self.url)
        await storage.open()
        await storage.close()

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run statements; return the rows of the last, if it gives some."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description is not None else []

    def answers(self) -> bool:
        """Whether the server takes connections and does something on them."""
        with suppress(psycopg.Error):
            return self.ask("select 1") == [(1,)]
        return False

    def clash(self, share: float) -> None:
        """Have that share of the statements that write tasks fail as those do that met another."""
        self.ask(_CLASHES.format(share=share))

    def backends(self) -> list[int]:
        """Return the server's processes that work for us."""
        query = "select pid from pg_stat_activity where application_name like 'angelica%'"
        return [pid for (pid,) in self.ask(query)]

    def terminate(self, pids: Sequence[int]) -> int:
        """End sessions, whatever they are doing; return how many there were to end."""
        found = self.ask("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", list(pids))
        return sum(done for (done,) in found)

    def states(self) -> dict[str, int]:
        return dict(self.ask("select state, count(*) from angelica.tasks group by state"))

    def unfinished(self) -> int:
        return int(self.scalar(_UNFINISHED))

    def scalar(self, query: str, *values: object) -> Any:
        rows = self.ask(query, *values)
        return rows[0][0] if rows else None

    def changes(self) -> list[Change]:
        query = "select task_id, was, now, attempt, failures, crashes from angelica.chaos_history order by seq"
        return [Change(*row) for row in self.ask(query)]

    def rows(self) -> dict[str, Row]:
        query = "select id, state, attempt, failures, crashes, result, error from angelica.tasks"
        return {row[0]: Row(*row[:5], _json(row[5]), _reason(row[6])) for row in self.ask(query)}

    def outcomes(self) -> dict[tuple[str, int], str]:
        found = self.ask("select task_id, attempt, outcome from angelica.attempts")
        return {(task_id, attempt): outcome for task_id, attempt, outcome in found}

    def leases(self) -> int:
        return int(self.scalar("select count(*) from angelica.tasks where state = 'running'"))

    def check(self) -> tuple[str, ...]:
        """Return the counters that do not say what the rows say."""
        wrong = self.ask(
            "select queue, state, sum(counted), sum(stored) from ("
            " select queue, state, count(*) as counted, 0 as stored from angelica.tasks group by queue, state"
            " union all select queue, state, 0, n from angelica.counters"
            ") b group by queue, state having sum(counted) <> sum(stored)"
        )
        return tuple(f"{n} tasks are {state} in {queue}, counted {stored}" for queue, state, n, stored in wrong)

    def close(self) -> None:
        """Nothing is kept open."""


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _reason(text: str | None) -> str | None:
    return None if text is None else _json(text)["reason"]
