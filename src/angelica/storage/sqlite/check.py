"""What can be proved about a file: SQLite's own check, the counters against the rows, and rows without their task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from angelica.storage.rows import from_json
from angelica.storage.sqlite.transaction import SqliteStatements

_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`problems` in plain words, empty if all is well; `tasks` is how many rows were looked at."""

    problems: tuple[str, ...]
    tasks: int

    @property
    def ok(self) -> bool:
        return not self.problems


async def check(db: SqliteStatements) -> CheckReport:
    """Look at everything, over one snapshot. It takes time in proportion to the file."""
    db.query("begin", ())
    try:
        problems = _integrity(db)
        if not problems:
            problems = [*_counters(db), *_orphans(db)]
        return CheckReport(tuple(problems), int(db.query("select count(*) from tasks", ())))
    finally:
        db.query("commit", ())


def _integrity(db: SqliteStatements) -> list[str]:
    said = db.query("select json_group_array(integrity_check) from pragma_integrity_check", ())
    lines = from_json(said)
    return [] if lines == ["ok"] else [f"SQLite: {line}" for line in lines[:_MOST]]


def _counters(db: SqliteStatements) -> list[str]:
    return [
        f"queue {queue!r} has {counted} {state} tasks, its counter says {stored}"
        for queue, state, counted, stored in db.look("wrong_counts")[:_MOST]
    ]


def _orphans(db: SqliteStatements) -> list[str]:
    found = from_json(db.first("orphans")[0])
    return [f"{n} {what} of tasks that are not there" for what, n in found.items() if n]
