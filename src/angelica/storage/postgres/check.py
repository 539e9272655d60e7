"""What can be proved about a schema: sound indexes and pages, counters against rows, rows without their task."""

from __future__ import annotations

from typing import Any, Final

from angelica.storage.postgres.transaction import PostgresStatements, PostgresTransaction
from angelica.storage.report import CheckReport, counters_apart, rows_apart
from angelica.storage.rows import from_json
from angelica.storage.verbs import upkeep
from angelica.storage.verbs.limits import passes_apart

PATIENCE: Final = 3600.0
"""Seconds that a check may take: it reads everything."""

# The planner's usual ways: what serves a batch of one through an index does not serve a look at everything.
UNBOUNDED: Final = (
    "set local statement_timeout = 0; set local enable_seqscan = on; set local enable_hashjoin = on; "
    "set local enable_mergejoin = on; set local plan_cache_mode = auto"
)


async def check(db: PostgresStatements, schema: str) -> CheckReport:
    """Look at everything, over one snapshot: the caller has begun a transaction of `repeatable read`."""
    await db.raw.execute(UNBOUNDED)
    problems = [
        f"PostgreSQL: the index {name} is not valid: reindex it" for name in await db.rows("broken_indexes", schema)
    ]
    failures = await db.value("checksum_failures")
    if failures:
        problems.append(f"PostgreSQL: {failures} pages of this database failed their checksum")
    problems += counters_apart(await db.rows("wrong_counts"))
    problems += rows_apart(from_json(await db.value("orphans")))
    problems += [f"{n} {what}" for what, n in from_json(await db.value("misplaced")).items() if n]
    problems += await passes_apart(db)
    count: Any = await db.value("count_tasks")
    return CheckReport(tuple(problems), int(count))


async def recount(tx: PostgresTransaction) -> int:
    """Set the counters to what is there; return how many were wrong. Writers wait meanwhile."""
    await tx.raw.execute(UNBOUNDED)
    await tx.value("lock_counted")
    return await upkeep.recount(tx)
