"""The plan of every hot verb, beside a million finished and a million future tasks.

A statement that scans what it should seek is right on a test's three rows and useless on a user's millions: so the
plan is part of the contract, and so is the number of steps that SQLite's machine takes for a claim.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from angelica.domain.task import DEFAULT_POLICY
from angelica.storage.rows import policy_text, to_json
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.connect import connect
from angelica.storage.sqlite.opened import VERBS

MANY = 1_000_000 if os.environ.get("ANGELICA_BIG_PLANS") else 100_000
NOW = 1_800_000_000_000_000

FILL = """
with recursive n (i) as (select 1 union all select i + 1 from n where i < ?1)
insert into tasks (id, function, version, queue, executor, priority, state, run_at, created_at, trace_id, payload,
    policy, attempt, revision, finished_at, retain_until, worker)
select ?2 || printf('%012d', i), 'f', 1, 'default', 'async', i % 3, ?2, ?3 + i, ?3, '', '{}', ?4,
    ?2 <> 'scheduled', 1, iif(?2 = 'scheduled', null, ?3), iif(?2 = 'scheduled', null, ?3 + i),
    iif(?2 = 'running', 'w', null)
from n
"""

# Which verbs run on the hot path, with the plan lines that each must have and no other line over a table of tasks.
IDS = ["SEARCH tasks USING INDEX sqlite_autoindex_tasks_1"]
IDS_ALONE = ["SEARCH tasks USING COVERING INDEX sqlite_autoindex_tasks_1"]
PLANS: dict[str, list[str]] = {
    "ready_lane": ["SEARCH tasks USING COVERING INDEX ready", "SEARCH tasks USING INDEX ready"],
    "ready_rows": ["SEARCH tasks USING INDEX ready"],
    "ready_levels": ["SEARCH t USING COVERING INDEX ready"],
    "ready_counts": ["SEARCH tasks USING COVERING INDEX ready"],
    "take": IDS_ALONE,
    "take_places": ["SEARCH tasks USING INTEGER PRIMARY KEY"],
    "end_succeeded": IDS,
    "end_any": IDS,
    "leased_rows": ["SEARCH t USING INDEX sqlite_autoindex_tasks_1", "SEARCH w USING PRIMARY KEY"],
    "live_leases": ["SEARCH t USING INDEX sqlite_autoindex_tasks_1"],
    "tasks_by_ids": IDS,
    "unique_holders": ["SEARCH tasks USING INDEX uniques"],
    "due_rows": ["SEARCH tasks USING INDEX due"],
    "next_due": ["SEARCH tasks USING COVERING INDEX due"],
    "promote": IDS_ALONE,
    "held_leases": ["SEARCH tasks USING INDEX running"],
    "count_running": ["SEARCH tasks USING COVERING INDEX running"],
    "mark_started": IDS,
    "parked_rows": ["SEARCH tasks USING INDEX parked"],
    "unpark": IDS,
    "parked_lanes": ["SEARCH t USING COVERING INDEX incapable", "SEARCH tasks USING COVERING INDEX incapable"],
    "unpark_lanes": ["SEARCH t USING COVERING INDEX incapable", "SEARCH tasks USING INTEGER PRIMARY KEY"],
    "oversized_lanes": ["SEARCH t USING COVERING INDEX oversized", "SEARCH tasks USING COVERING INDEX oversized"],
    "free_oversized": ["SEARCH t USING COVERING INDEX oversized", "SEARCH tasks USING INTEGER PRIMARY KEY"],
    "ready_lanes": ["SEARCH t USING COVERING INDEX ready"],
    "park_lane": ["SEARCH tasks USING COVERING INDEX ready", "SEARCH tasks USING INTEGER PRIMARY KEY"],
    "held_counts": ["SEARCH t USING COVERING INDEX parked"],
    "expired_rows": [
        "SEARCH tasks USING COVERING INDEX running",
        "SEARCH tasks USING INDEX running",
        "SEARCH w USING PRIMARY KEY",
    ],
    "annotate": IDS,
    "cancel_waiting": IDS,
    "request_cancel": IDS_ALONE,
    "ended_rows": IDS,
    "outdated_rows": ["SEARCH tasks USING INDEX retained"],
    "delete_rows": IDS_ALONE,
    "ahead": ["SEARCH tasks USING COVERING INDEX ready"],
    "measured_runs": ["SEARCH tasks USING INDEX measured"],
    "unmeasured_runs": ["SCAN tasks USING INDEX listing"],  # as far as its limit
}


# A step over a table, without its bindings; steps over what the statement made or was given are left out.
STEP = re.compile(
    r"(SEARCH|SCAN) (tasks|t|w|workers)\b( USING( COVERING)? (INDEX \w+|INTEGER PRIMARY KEY|PRIMARY KEY))?"
)


def fill(connection: apsw.Connection, state: str, count: int) -> None:
    start = NOW + 10**12 if state == "scheduled" else NOW - 10**12
    connection.execute(FILL, (count, state, start, policy_text(DEFAULT_POLICY)))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    path: Path = tmp_path_factory.mktemp("plans") / "angelica.db"

    async def make() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        await storage.close()

    asyncio.run(make())
    connection = connect(path, durability="fast")
    connection.execute("pragma synchronous = off")
    connection.execute("begin")
    for state, count in (("succeeded", MANY), ("scheduled", MANY), ("running", 100), ("queued", 1000)):
        fill(connection, state, count)
    connection.execute("commit")
    yield connection
    connection.close()


def plan(connection: apsw.Connection, verb: str) -> list[str]:
    """The steps of a plan that touch a table of ours, without their bindings."""
    text = VERBS[verb]
    values = [None] * max((number for number in range(1, 10) if f"?{number}" in text), default=0)
    rows = connection.execute("explain query plan " + text, values).fetchall()
    return [match[0] for row in rows if (match := STEP.match(str(row[3])))]


@pytest.mark.parametrize("statistics", [False, True], ids=["no statistics", "statistics"])
def test_every_hot_verb_seeks(full: apsw.Connection, *, statistics: bool) -> None:
    if statistics:
        full.execute("analyze")
    found = {verb: sorted(set(plan(full, verb))) for verb in PLANS}
    assert found == {verb: sorted(lines) for verb, lines in PLANS.items()}


def steps(connection: apsw.Connection, verb: str, *values: Any) -> dict[str, int]:
    """How much work SQLite's machine does for one statement."""
    cursor = connection.cursor()
    found: dict[str, int] = {}

    def trace(event: dict[str, Any]) -> None:
        if event["code"] == apsw.SQLITE_TRACE_PROFILE:
            status = event["stmt_status"]
            found["steps"] = found.get("steps", 0) + status["SQLITE_STMTSTATUS_VM_STEP"]
            found["scanned"] = found.get("scanned", 0) + status["SQLITE_STMTSTATUS_FULLSCAN_STEP"]

    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, trace)
    try:
        cursor.execute(VERBS[verb], values).fetchall()
    finally:
        connection.trace_v2(0, None)
    return found


HOT: dict[str, tuple[Any, ...]] = {
    "ready_lane": ("default", "async", 100),
    "ready_rows": ("default", "async", 0, 100),
    "ready_levels": (to_json(["async", "thread"]), None),
    "ready_counts": (to_json(["async", "thread"]), "default", 100),
    "due_rows": (NOW, 100),
    "next_due": (),
    "held_leases": ("w",),
    "expired_rows": (NOW, "boot", 100),
    "parked_rows": ("unknown_function", to_json(["f", "g"]), 1_000),
    "parked_lanes": (),
    "ready_lanes": (),
    "held_counts": (10_000,),
    "measured_runs": ("f", 200),
    "unmeasured_runs": ("f", 200, 1000),
    "tasks_by_ids": (to_json(["succeeded000000000001", "nothing"]),),
}


@pytest.mark.parametrize("verb", HOT)
def test_the_work_does_not_grow_with_what_is_finished_or_not_due(
    full: apsw.Connection, tmp_path: Path, verb: str
) -> None:
    async def make() -> None:
        storage = SqliteStorage(tmp_path / "small.db")
        await storage.open()
        await storage.close()

    asyncio.run(make())
    small = connect(tmp_path / "small.db", durability="fast")
    for state, count in (("succeeded", 10), ("scheduled", 10), ("running", 100), ("queued", 1000)):
        fill(small, state, count)
    little, much = steps(small, verb, *HOT[verb]), steps(full, verb, *HOT[verb])
    small.close()
    assert little["steps"] > 0
    assert much["steps"] <= little["steps"] * 1.05 + 50
    assert much["scanned"] <= little["scanned"] + 5
