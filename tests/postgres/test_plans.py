"""How the planner runs our statements in a full store: by the index that was made for each, whatever it believes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from angelica.clock import SECOND, ManualClock, Now
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Failed, LeaseExpired, Succeeded
from angelica.domain.schedule import Phase
from angelica.domain.task import NO_EXTRAS, TERMINAL, Policy, State, Task, TaskError, Unique
from angelica.storage.postgres.adapter import PostgresStorage
from angelica.storage.postgres.heads import Heads, _look_before
from angelica.storage.postgres.transaction import PostgresStatements
from angelica.storage.protocol import Beat, Claim, LogLine, Note, Request, ScheduleFilter, TaskFilter
from tests.postgres.crowd import FEW, analyze, fill, forget
from tests.postgres.explained import Plan, explain
from tests.postgres.session import session
from tests.storage.world import START, new, worker_info

BIG = int(os.environ.get("ANGELICA_TEST_CROWD", "1000000"))
NOW: Now = ManualClock().now()
MANY = 4 * FEW
BLOCKS = 40
"""Pages per row of the batch that a statement may touch at the most, index pages of all levels included."""

# By which indexes each statement reaches the tasks, and how many of their rows it may touch. One that is not here does
# not touch them, or is listed with what it does to the other tables.
PK = "tasks_pkey"
TASKS: dict[str, tuple[set[str], int]] = {
    "exchange": ({PK, "ready", "ctid"}, 3 * FEW),
    "claim": ({"ready", "ctid"}, 3 * FEW),
    "take": ({"ready", "ctid"}, 3 * FEW),
    "ready_levels": ({"ready"}, MANY),
    "levels_from": ({"ready"}, MANY),
    "levels_beside": ({"ready"}, 10),
    "ready_before": ({"ready"}, 1),
    "entries_met": (set(), 0),
    "store_plain": (set(), 0),
    "store_full": (set(), 0),
    "insert_full": (set(), 0),
    "end_any": ({PK}, MANY),
    "leased_rows": ({PK}, MANY),
    "standing_tasks": ({PK}, MANY),
    "tasks_by_ids": ({PK}, MANY),
    "unique_holders": ({"uniques"}, MANY),
    "held_leases": ({PK}, 2 * FEW),
    "count_running": ({PK}, 2 * FEW),
    "mark_started": ({PK}, MANY),
    "parked_rows": ({"parked"}, 10),
    "parked_lanes": ({"incapable"}, 10),
    "oversized_lanes": ({"oversized"}, 10),
    "expired_rows": ({PK}, MANY),
    "due_rows": ({"due"}, FEW),
    "promote": ({PK}, FEW),
    "next_due": ({"due"}, 1),
    "outdated_rows": ({PK}, MANY),
    "delete_rows": ({PK}, FEW),
    "delete_workers": ({PK}, MANY),
    "live_leases": ({PK}, MANY),
    "annotate": ({PK}, MANY),
    "ended_rows": ({PK}, MANY),
    "cancel_waiting": ({PK}, MANY),
    "request_cancel": ({PK}, MANY),
    "ahead": ({"ready"}, MANY),
    "measured_runs": ({"measured"}, FEW),
    "unmeasured_runs": ({PK}, 2 * MANY),
    "workers": ({PK}, MANY),
}
Call = Callable[[PostgresStorage], Awaitable[object]]


def task(name: str, *, attempt: int = 1, worker: str = "w1") -> Task:
    spec = new(name, policy=Policy(), run_at=START)
    return Task(spec, State.RUNNING, attempt=attempt, worker=worker)


def many(name: str, count: int = FEW) -> list[str]:
    return [f"{name}-{n:08}" for n in range(1, count + 1)]


ROOM = Claim("w9", FEW, (("async", FEW),))
WON = [complete(task(name), Succeeded("1"), now=NOW, chance=0.0) for name in many("mine")]
LOST = [complete(task(name), Failed(TaskError("exception")), now=NOW, chance=0.0) for name in many("mine")]
OVER = [
    complete(task(name, worker="w2"), LeaseExpired("w2"), now=NOW, chance=0.0, expired_by=NOW.tick)
    for name in many("lapsed")
]
LINES = [LogLine(name, 1, 1, START, "log", "info", "test", "text") for name in many("mine")]
NOTES = [Note(name, 1, checkpoint="1", progress="2") for name in many("mine")]
HELD = tuple(task(name).lease for name in many("mine", 2 * FEW))
BEAT = Beat(
    replace(worker_info("w1"), functions=("f", "g")), START, START, HELD, tuple((n, 1, START) for n in many("mine"))
)
FULL = [new(f"full-{n}", unique=Unique(f"k{n}"), labels={"a": "b"}) for n in range(FEW)]
REQUEST = Request("me", "key", "route", "digest", START + SECOND)


async def from_heads(heads: Heads, db: PostgresStatements) -> None:
    """Look as claims do while an old snapshot pins what was taken; it cannot be while others change nothing."""
    heads._known[None] = {("async", "default", 0): (START - 1_800_000_000, "")}
    await heads.look(db, ROOM, NOW)
    await _look_before(db, heads._known.pop(None))
    await db.value("entries_met")


CALLS: list[Call] = [
    lambda s: s.exchange(WON, ROOM, now=NOW),
    lambda s: s.exchange((), ROOM, now=NOW),
    lambda s: s.exchange(LOST, ROOM, now=NOW, journal=LINES),
    lambda s: s.exchange(OVER, None, now=NOW),
    lambda s: s._read(partial(from_heads, s._heads)),
    lambda s: s.enqueue_many([replace(new(f"plain-{n}"), extras=NO_EXTRAS) for n in range(FEW)], now=NOW),
    lambda s: s.enqueue_many([replace(t, unique=None) for t in FULL], now=NOW),
    lambda s: s.enqueue_many([*FULL, *[new(name) for name in many("done")]], now=NOW, request=REQUEST),
    lambda s: s.enqueue_many(FULL, now=NOW, atomic=True),
    lambda s: s.heartbeat(BEAT, now=NOW),
    lambda s: s.end_worker("w1", now=NOW),
    lambda s: s.expired(now=NOW, limit=FEW),
    lambda s: s.promote_due(now=NOW, limit=FEW),
    lambda s: s.prune(now=NOW, limit=FEW),
    lambda s: s.append_logs(LINES),
    lambda s: s.annotate(NOTES),
    lambda s: s.cancel_many([*many("mine"), *many("ready")], reason="r", now=NOW),
    lambda s: s.delete_tasks(many("done")),
    lambda s: s.get_tasks(many("done")),
    lambda s: s.count_ahead(replace(task("ready-00000400"), run_at=START), limit=10_000),
    lambda s: s.list_workers(),
    lambda s: s.read_logs("done-00000001"),
    lambda s: s.read_attempts("done-00000001"),
    lambda s: s.recent_attempts("f", limit=FEW),
    lambda s: s.recent_attempts("g", limit=FEW, among=2 * FEW),
    lambda s: s.due_schedules(now=NOW, limit=FEW),
    lambda s: s.next_fire(),
    lambda s: s.get_schedules([f"s-{n:06}" for n in range(FEW)]),
    lambda s: s.read_fires("s-000001"),
    lambda s: s.fire_times("s-000001", 0, START),
    lambda s: s.unfinished_runs("s-000001"),
]

PAGES: dict[str, tuple[TaskFilter, dict[str, Any], set[str]]] = {
    "newest": (TaskFilter(), {}, {PK}),
    "oldest": (TaskFilter(), {"newest_first": False}, {PK}),
    "a page in the middle": (TaskFilter(), {"after": (START - 3_599_500_000, "x")}, {PK}),
    "of a time": (TaskFilter(created_after=START - 3_599_999_000), {"newest_first": False}, {PK}),
    "failed": (TaskFilter(states=frozenset({State.FAILED})), {}, {"failed"}),
    "cancelled": (TaskFilter(states=frozenset({State.CANCELLED})), {}, {"cancelled"}),
    "succeeded": (TaskFilter(states=frozenset({State.SUCCEEDED})), {"newest_first": False}, {PK}),
    "running": (TaskFilter(states=frozenset({State.RUNNING})), {}, {PK}),
    "scheduled": (TaskFilter(states=frozenset({State.SCHEDULED})), {}, {PK}),
    "ended": (TaskFilter(states=frozenset(TERMINAL)), {"newest_first": False}, {PK}),
    "failed children": (TaskFilter(states=frozenset({State.FAILED}), parent_id="nobody"), {}, {"children"}),
    "children": (TaskFilter(parent_id="nobody"), {}, {"children"}),
    "retries": (TaskFilter(retry_of="nobody"), {}, {"retries"}),
}
SCHEDULES: dict[str, tuple[ScheduleFilter, set[str]]] = {
    "all": (ScheduleFilter(), {"schedules_pkey"}),
    "paused": (ScheduleFilter(phases=frozenset({Phase.PAUSED})), {"resting"}),
    "of a function": (ScheduleFilter(functions=("f7",)), {"scheduled_functions"}),
    "with a prefix": (ScheduleFilter(prefix="s-0001"), {"schedules_pkey"}),
}
BIG_TABLES = ("tasks", "attempts", "labels", "logs", "schedules", "fires", "runs", "retention", "listing")


def complaints(state: str, plans: dict[str, Plan]) -> list[str]:
    """Say what is wrong with the plans of the verbs."""
    found = []
    for verb, plan in plans.items():
        ways, bound = TASKS.get(verb, (set(), 0))
        used = plan.ways.get("tasks", set())
        if not used <= ways or plan.touched["tasks"] > bound:
            found.append(f"{state}: {verb} touches {plan.touched['tasks']} tasks by {sorted(used)}, not {sorted(ways)}")
        found += [f"{state}: {verb} scans {table}" for table in BIG_TABLES if "" in plan.ways.get(table, ())]
        others = max((plan.touched[table] for table in BIG_TABLES if table != "tasks"), default=0)
        if others > 2 * MANY:
            found.append(f"{state}: {verb} touches {dict(plan.touched)}")
        if plan.blocks > BLOCKS * FEW:
            found.append(f"{state}: {verb} reads {plan.blocks} pages")
    return found


async def pages(state: str, storage: PostgresStorage, plans: dict[str, Plan]) -> list[str]:
    """Say what is wrong with the plans of pages."""
    found = []
    for name, (where, how, ways) in PAGES.items():
        found += await page(f"{state}: tasks, {name}", plans, "tasks", ways, storage.list_tasks(where, limit=50, **how))
    for name, (which, ways) in SCHEDULES.items():
        call = storage.list_schedules(which, limit=50)
        found += await page(f"{state}: schedules, {name}", plans, "schedules", ways, call)
    return found


async def page(name: str, plans: dict[str, Plan], table: str, ways: set[str], call: Awaitable[object]) -> list[str]:
    plans.clear()
    await call
    (plan,) = [plan for plan in plans.values() if table in plan.ways]
    if plan.ways[table] != ways or plan.touched[table] > 10 * FEW:
        return [f"{name} touches {plan.touched[table]} rows by {sorted(plan.ways[table])}, not {sorted(ways)}"]
    return []


async def story(url: str) -> list[str]:
    first = PostgresStorage(url)
    await first.open()
    await first.close()
    await asyncio.to_thread(fill, url, BIG)
    found = []
    for state, prepare in (("stale", None), ("none", forget), ("fresh", analyze)):
        if prepare is not None:
            await asyncio.to_thread(prepare, url)
        storage = PostgresStorage(url)
        await storage.open()
        plans = explain(storage)
        for call in CALLS:
            await call(storage)
        assert plans.keys() >= TASKS.keys() - {"insert_full"}, TASKS.keys() - plans.keys()
        found += complaints(state, plans)
        found += await pages(state, storage, plans)
        await storage.close()
    return found


@pytest.mark.slow
def test_every_statement_takes_its_index_in_a_full_store() -> None:
    with session().cluster() as cluster:
        found = asyncio.run(story(cluster.url()))
    assert not found
