"""The plan of every verb of schedules, and an empty tick that costs the same beside any number of schedules."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from angelica.domain.schedule import Phase, Rules, RunSpec, Schedule, TriggerSpec
from angelica.storage.protocol import ScheduleFilter
from angelica.storage.rows import to_json
from angelica.storage.schedule_rows import schedule_row
from angelica.storage.sqlite.adapter import SqliteStorage
from angelica.storage.sqlite.connect import connect
from angelica.storage.sqlite.opened import VERBS
from angelica.storage.sqlite.transaction import SqliteStatements
from angelica.storage.verbs.schedules import list_schedules
from angelica.storage.verbs.transaction import finished

MANY = 1_000_000 if os.environ.get("ANGELICA_BIG_PLANS") else 100_000
NOW = 1_800_000_000_000_000

SCHEDULE = Schedule(
    "x", TriggerSpec(every=1), RunSpec("f"), Rules(delete_after=1), next_fire_at=NOW + 1, created_at=NOW, updated_at=NOW
)

FILL_SCHEDULES = """
with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < ?2),
e (value) as (select jsonb(?1))
insert into schedules
select 's' || printf('%08d', i), iif(i % 100 = 0, 'paused', 'active'), '', value ->> 3 + i, value ->> 4, value ->> 5,
    value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, iif(i % 1000 = 0, value ->> 3 + i, null),
    value ->> 12, 'f' || (i % 100), value ->> 14, value ->> 15, value ->> 16, value ->> 17, value ->> 18, value ->> 19,
    value ->> 20, value ->> 21, value ->> 22, value ->> 23, value ->> 24
from n, e
"""
FILL_FIRES = """
with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < ?2)
insert into fires
select 's' || printf('%08d', i / 10), ?1 + i, '', 'scheduled', 't' || i, null, null, 1, ?1, ?1 + 1000 + i from n
"""
FILL_RUNS = """
with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < ?1)
insert into runs (schedule_id, task_id, waits_for)
select 's' || printf('%08d', i), 't' || i, iif(i % 2, 't' || (i - 1), null) from n
"""

IDS = "SEARCH s USING INDEX sqlite_autoindex_schedules_1"
RUNS = "SEARCH runs USING COVERING INDEX runs_of"
PLANS: dict[str, list[str]] = {
    "next_fire": ["SEARCH schedules USING COVERING INDEX firing"],
    # The two scans are of what its own subqueries found.
    "due_schedules": ["SCAN r", "SCAN s", "SEARCH runs USING INDEX runs_of", "SEARCH schedules USING INDEX firing"],
    "schedules_by_ids": [IDS],
    "keeps": [IDS],
    "schedules_to_settle": [IDS, RUNS],
    "move_schedules": ["SEARCH schedules USING COVERING INDEX sqlite_autoindex_schedules_1"],
    "standing_fires": ["SEARCH f USING PRIMARY KEY"],
    "latest_fires": ["SEARCH fires USING PRIMARY KEY"],
    "fires_of": ["SEARCH fires USING PRIMARY KEY"],
    "fire_times": ["SEARCH fires USING PRIMARY KEY"],
    "prune_fires": ["SEARCH fires USING COVERING INDEX old_fires", "SEARCH fires USING PRIMARY KEY"],
    "delete_fires": ["SEARCH fires USING PRIMARY KEY"],
    "delete_schedules": ["SEARCH schedules USING COVERING INDEX sqlite_autoindex_schedules_1"],
    "ending_schedules": [RUNS, "SEARCH s USING COVERING INDEX ending"],
    "tombstones": ["SEARCH t USING PRIMARY KEY"],
    "delete_tombstones": ["SEARCH tombstones USING PRIMARY KEY"],
    "end_runs": ["SEARCH runs USING COVERING INDEX sqlite_autoindex_runs_1"],
    "unfinished_of": ["SEARCH r USING INDEX runs_of"],
    "waiting_schedules": ["SEARCH r USING INDEX waiters"],
    "set_waits": ["SEARCH runs USING COVERING INDEX sqlite_autoindex_runs_1"],
    "waiting_rows": ["SEARCH tasks USING INDEX sqlite_autoindex_tasks_1"],
    "set_off": ["SEARCH tasks USING INDEX sqlite_autoindex_tasks_1"],
}
STEP = re.compile(
    r"(SEARCH|SCAN) (schedules|fires|runs|tombstones|tasks|s|f|r|t)\b"
    r"( USING( COVERING)? (INDEX \w+|INTEGER PRIMARY KEY|PRIMARY KEY))?"
)


def make(path: Path, count: int) -> apsw.Connection:
    async def scene() -> None:
        storage = SqliteStorage(path)
        await storage.open()
        await storage.close()

    asyncio.run(scene())
    connection = connect(path, durability="fast")
    connection.execute("pragma synchronous = off")
    connection.execute("begin")
    connection.execute(FILL_SCHEDULES, (to_json(schedule_row(SCHEDULE)), count))
    connection.execute(FILL_FIRES, (NOW, count))
    connection.execute(FILL_RUNS, (min(count, 1000),))
    connection.execute("commit")
    return connection


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    connection = make(tmp_path_factory.mktemp("schedules") / "angelica.db", MANY)
    yield connection
    connection.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[apsw.Connection]:
    connection = make(tmp_path / "small.db", 1000)
    yield connection
    connection.close()


def plan(connection: apsw.Connection, text: str) -> list[str]:
    values = [None] * max((number for number in range(1, 10) if f"?{number}" in text), default=0)
    rows = connection.execute("explain query plan " + text, values).fetchall()
    return sorted({match[0] for row in rows if (match := STEP.match(str(row[3])))})


@pytest.mark.parametrize("statistics", [False, True], ids=["no statistics", "statistics"])
def test_every_verb_of_schedules_seeks(full: apsw.Connection, *, statistics: bool) -> None:
    if statistics:
        full.execute("analyze")
    found = {verb: plan(full, VERBS[verb]) for verb in PLANS}
    assert found == {verb: sorted(lines) for verb, lines in PLANS.items()}


def work(connection: apsw.Connection, verb: str, *values: Any) -> tuple[int, int]:
    """The steps of SQLite's machine for one statement, and how many of them went on in a scan."""
    found: list[tuple[int, int]] = []

    def trace(event: dict[str, Any]) -> None:
        status = event["stmt_status"]
        found.append((status["SQLITE_STMTSTATUS_VM_STEP"], status["SQLITE_STMTSTATUS_FULLSCAN_STEP"]))

    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, trace)
    try:
        connection.execute(VERBS[verb], values).fetchall()
    finally:
        connection.trace_v2(0, None)
    return sum(steps for steps, _ in found), sum(scanned for _, scanned in found)


def test_an_empty_tick_is_one_probe_of_the_index(full: apsw.Connection) -> None:
    steps, scanned = work(full, "next_fire")
    assert (steps < 20, scanned) == (True, 0)
    steps, scanned = work(full, "due_schedules", NOW, 500)
    assert (steps < 60, scanned) == (True, 0)


ASKED: dict[str, tuple[Any, ...]] = {
    "due_schedules": (NOW + 50, 500),
    "schedules_by_ids": (to_json(["s00000001", "none"]),),
    "schedules_to_settle": (to_json([["s00000001", 1], ["s00000002", 0]]),),
    "standing_fires": (to_json([["s00000001", NOW + 11, ""]]),),
    "latest_fires": (to_json(["s00000001"]),),
    "fires_of": ("s00000001", NOW * 2, 5),
    "waiting_schedules": (to_json(["t0", "t1", "t2"]),),
    "unfinished_of": (to_json(["s00000001", "s00000002"]),),
    "ending_schedules": (NOW, 1000),
}


@pytest.mark.parametrize("verb", ASKED)
def test_the_work_does_not_grow_with_the_number_of_schedules(
    small: apsw.Connection, full: apsw.Connection, verb: str
) -> None:
    (little, _), (much, scanned) = work(small, verb, *ASKED[verb]), work(full, verb, *ASKED[verb])
    assert little > 0
    assert much <= little * 1.05 + 50
    assert scanned <= 20


@pytest.mark.parametrize(
    "where",
    [
        ScheduleFilter(),
        ScheduleFilter(phases=frozenset({Phase.COMPLETED})),
        ScheduleFilter(functions=("f7",)),
        ScheduleFilter(prefix="s0000"),
        ScheduleFilter(phases=frozenset({Phase.ACTIVE}), owner="code", source="app"),
    ],
    ids=["all", "rare phase", "function", "prefix", "source"],
)
def test_a_page_is_found_without_sorting_or_searching(full: apsw.Connection, where: ScheduleFilter) -> None:
    asked: list[tuple[str, Any]] = []

    class Spy(SqliteStatements):
        def query(self, text: str, values: Any) -> Any:
            asked.append((text, values))
            return super().query(text, values)

    page = finished(list_schedules(Spy(full, VERBS), where, limit=10, after="s00000500"))
    assert len(page.items) == (0 if where.phases else 10)
    ((text, values),) = asked
    steps = [str(row[3]) for row in full.execute("explain query plan " + text, values).fetchall()]
    assert any(step.startswith("SEARCH schedules") for step in steps), steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
