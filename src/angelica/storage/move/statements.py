"""The statements of a move, made of the plan: both SQL adapters read and write the same columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from angelica.clock import MINUTE
from angelica.storage.move.plan import ENDED, TASKS, Table

BUCKET: Final = MINUTE
_ENDED: Final = ", ".join(f"'{state}'" for state in ENDED)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one adapter writes SQL.

    `prefix` stands before the name of a table, `mark` makes the placeholder of a number, `among` tests for one of the
    ids of the first parameter, `flag` (with `?` for the column) makes a whole number of a flag,
    `by_retention` names the index of ended tasks to a planner that has to be told.
    """

    prefix: str
    mark: Callable[[int], str]
    among: str
    flag: str
    by_retention: str = ""

    def select(self, table: Table, *rest: str) -> str:
        """Return a query for whole rows."""
        columns = [self.flag.replace("?", name) if name in table.flags else name for name in table.columns]
        return self._join("select", ", ".join(columns), "from", self.prefix + table.name, *rest)

    def chosen(self, table: Table) -> str:
        """Return a query for the rows whose first column is among some ids."""
        name = table.key[0]
        return self.select(table, "where", name, self.among, "order by", ", ".join(table.key))

    def page(self, table: Table, *, first: bool) -> str:
        """Return a query for rows in order of the key, after the key of the parameters unless it is the first."""
        marks = ", ".join(self.mark(place) for place in range(1, len(table.key) + 1))
        after = [] if first else ["where (", ", ".join(table.key), ") > (", marks, ")"]
        limit = self.mark(1 if first else len(table.key) + 1)
        return self.select(table, *after, "order by", ", ".join(table.key), "limit", limit)

    def ids(self, *, ended: bool) -> str:
        """Return a query for ids after $1, at most $2."""
        where = ["where id >", self.mark(1), "and", *self._are(ended=ended)]
        return self._join("select id from", self._tasks, *where, "order by id limit", self.mark(2))

    def digest(self) -> str:
        """Return a query for (bucket, how many, sum) of ended tasks, see `sides.Digest`."""
        bucket = f"coalesce(retain_until / {BUCKET}, -1)"
        total = f"cast(sum(coalesce(retain_until % {BUCKET}, 0)) as bigint)"
        where = [self.by_retention, "where", *self._are(ended=True), "group by 1"]
        return self._join("select", bucket, ", count(*),", total, "from", self._tasks, *where)

    def ended_in(self, *, kept: bool) -> str:
        """Return a query for (id, end) of ended tasks: kept for ever, or until a moment in [$1, $2)."""
        mark = self.mark
        until = f"retain_until >= {mark(1)} and retain_until < {mark(2)}" if not kept else "retain_until is null"
        where = [self.by_retention, "where", *self._are(ended=True), "and", until]
        return self._join("select id, coalesce(finished_at, 0) from", self._tasks, *where)

    def counted(self) -> str:
        """Return a query for how many tasks are in each (queue, state)."""
        return self._join("select queue, state, count(*) from", self._tasks, "group by queue, state")

    def total(self, table: Table) -> str:
        """Return a query for how many rows there are."""
        return self._join("select count(*) from", self.prefix + table.name)

    def sizes(self, logs: Table) -> tuple[str, str]:
        """Return queries for (id, bytes) of tasks and of their log lines, among ids."""
        fields = " + ".join(
            f"coalesce(octet_length({name}), 0)" for name in ("payload", "result", "error", "checkpoint", "progress")
        )
        return (
            self._join("select id, 500 +", fields, "from", self._tasks, "where id", self.among),
            self._join(
                "select task_id, sum(100 + octet_length(message)) from",
                self.prefix + logs.name,
                "where task_id",
                self.among,
                "group by task_id",
            ),
        )

    def drop(self, table: Table) -> str:
        """Return a statement that deletes the rows whose first column is among some ids."""
        return self._join("delete from", self.prefix + table.name, "where", table.key[0], self.among)

    def drop_open(self, table: Table) -> str:
        """Return a statement that deletes what belongs to tasks that have not ended, or these tasks themselves."""
        if table is TASKS:
            return self._join("delete from", self._tasks, "where", *self._are(ended=False))
        of = self._join("(select id from", self._tasks, "where", *self._are(ended=False), ")")
        return self._join("delete from", self.prefix + table.name, "where task_id in", of)

    def clear(self, table: Table) -> str:
        """Return a statement that deletes all rows."""
        return self._join("delete from", self.prefix + table.name)

    @property
    def _tasks(self) -> str:
        return self.prefix + TASKS.name

    def _are(self, *, ended: bool) -> list[str]:
        return ["state in" if ended else "state not in", "(", _ENDED, ")"]

    @staticmethod
    def _join(*parts: str) -> str:
        return " ".join(parts)
