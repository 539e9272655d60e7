"""What can be proved about a file: SQLite's own check, the counters against the rows, and rows without their task."""

from __future__ import annotations

from angelica.storage.report import MOST, CheckReport, counters_apart, rows_apart
from angelica.storage.rows import from_json
from angelica.storage.sqlite.transaction import SqliteStatements
from angelica.storage.verbs.limits import passes_apart


async def check(db: SqliteStatements) -> CheckReport:
    """Look at everything, over one snapshot. It takes time in proportion to the file."""
    db.query("begin", ())
    try:
        problems = _integrity(db)
        if not problems:
            problems = [*counters_apart(db.look("wrong_counts")), *rows_apart(from_json(db.first("orphans")[0]))]
            problems += await passes_apart(db)
        return CheckReport(tuple(problems), int(db.query("select count(*) from tasks", ())))
    finally:
        db.query("commit", ())


def _integrity(db: SqliteStatements) -> list[str]:
    said = db.query("select json_group_array(integrity_check) from pragma_integrity_check", ())
    lines = from_json(said)
    return [] if lines == ["ok"] else [f"SQLite: {line}" for line in lines[:MOST]]
