"""Definitions of schedules: when a put applies, what it leaves alone, what is due, and what a deletion leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelica.clock import DAY, SECOND
from angelica.domain.retry import Fixed, Linear
from angelica.domain.schedule import CatchUp, Overlap, Phase, Rules, RunSpec, Schedule, TriggerSpec
from angelica.domain.task import Extras, Policy
from angelica.storage.protocol import ScheduleFilter, SchedulePut, Topic
from tests.storage.timetable import PERIOD, Timetable, a_fire, firing, schedule
from tests.storage.world import START, World


@pytest.fixture
def table(world: World) -> Timetable:
    return Timetable(world)


FULL = Schedule(
    id="full",
    trigger=TriggerSpec(cron="0 0 2 * * ?", timezone="Asia/Shanghai", dialect="quartz", day_match="all"),
    run=RunSpec(
        "reports.nightly",
        '{"args":[1],"kwargs":{"é":"☃"}}',
        Policy(None, 5, 1, Linear(2.0, 9.0, 1.5), ("ValueError",), 5),
        "q",
        "thread",
        -7,
        3,
        Extras({"tenant": "x"}, {"team": "y"}, {"a": [1, {"b": None}]}, "me"),
    ),
    rules=Rules(
        start_at=START,
        end_at=START + DAY,
        max_runs=9,
        overlap=Overlap.QUEUE_ONE,
        max_running=2,
        catch_up=CatchUp.ALL,
        grace=0,
        catchup_window=DAY,
        max_catchup=7,
        jitter=SECOND,
        jitter_mode="fixed",
        pause_after_failures=3,
        delete_after=0,
    ),
    phase=Phase.PAUSED,
    phase_reason="by hand",
    version=4,
    next_fire_at=START + 5,
    last_fire_at=START - 5,
    anchor=START - 7,
    created_at=START - 9,
    updated_at=START - 8,
    paused_at=START - 3,
    runs=6,
    streak=2,
    owner="code",
    declared='{"cron":"0 0 2 * * ?"}',
    override='{"grace":0}',
    seen_at=START - 1,
    tz_version="2026c",
)


def test_a_schedule_comes_back_as_it_was_put(table: Timetable) -> None:
    plain = schedule("plain", run=RunSpec("f", policy=Policy(backoff=Fixed(3.0))))
    other = schedule("other", trigger=TriggerSpec(repeat="R5/2026-01-31T00:00:00Z/P1M"))
    assert table.put(FULL, plain, other) == ("created",) * 3
    assert (table.get("full"), table.get("plain"), table.get("other")) == (FULL, plain, other)
    assert table.put(FULL) == ("unchanged",)


def test_what_is_expected_decides_whether_a_put_applies(table: Timetable) -> None:
    first, second = schedule(), schedule(version=2, grace=0)
    assert table.put(SchedulePut(second, 1)) == ("missing",)
    assert table.put(SchedulePut(first, "new"), SchedulePut(first, "new")) == ("created", "exists")
    assert table.put(SchedulePut(second, 2), SchedulePut(second, 1), SchedulePut(second, 1)) == (
        "stale",
        "updated",
        "stale",
    )
    assert table.get() == second
    assert table.put(first) == ("updated",)


def test_only_a_change_rings(world: World, table: Timetable) -> None:
    def rings(put: Schedule | SchedulePut) -> bool:
        before = world.storage.mark(Topic.SCHEDULES)
        table.put(put)
        return world.storage.mark(Topic.SCHEDULES) > before

    assert rings(schedule())
    assert not rings(schedule())
    assert not rings(schedule(seen_at=START + 1, updated_at=START + 1))
    assert (table.get().seen_at, table.get().updated_at) == (START + 1, START)
    assert not rings(SchedulePut(schedule(), "new"))
    assert rings(schedule(grace=0))


def test_a_put_is_stale_if_the_schedule_has_fired_since_it_was_seen(table: Timetable) -> None:
    seen = schedule()
    table.put(seen)
    paused = replace(seen, phase=Phase.PAUSED)
    table.fire(firing(seen, a_fire("s", "a", 0), next_fire_at=START + PERIOD))
    assert table.put(SchedulePut(paused, 1, seen=seen)) == ("stale",)
    now = table.get()
    assert now.phase is Phase.ACTIVE
    assert table.put(SchedulePut(replace(now, phase=Phase.PAUSED), 1, seen=now)) == ("updated",)


def test_a_put_takes_nothing_back_that_has_fired(table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0), next_fire_at=START + PERIOD))
    table.put(schedule(grace=0, version=2))
    standing = table.get()
    assert (standing.runs, standing.last_fire_at, standing.next_fire_at) == (1, START, START)
    # And so the fire that was decided before the edit is not run again.
    assert table.fire(firing(standing, a_fire("s", "b", 0), next_fire_at=START + PERIOD)) == (True,)
    assert table.unfinished().running == ("a",)


def test_what_an_operator_deleted_code_does_not_bring_back(world: World, table: Timetable) -> None:
    table.put(schedule("a"), schedule("b"))
    assert table.delete("a", "none", "a") == (True, False, False)
    assert table.delete("b", tombstone=False) == (True,)
    declared = [SchedulePut(schedule(name), unless_deleted=True) for name in ("a", "b")]
    assert table.put(*declared) == ("deleted", "created")
    assert table.find("a") is None
    assert table.put(SchedulePut(schedule("a"), "new")) == ("created",)
    assert table.delete("a", tombstone=False) == (True,)
    assert table.put(declared[0]) == ("created",), "the tombstone went when it was made again by hand"


def test_a_deletion_takes_the_history_and_leaves_the_runs(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0), a_fire("s", "b", 1, "a")))
    before = world.storage.mark(Topic.SCHEDULES)
    table.delete("s")
    assert world.storage.mark(Topic.SCHEDULES) > before
    assert table.history() == ()
    assert (table.due(), world.run(world.storage.next_fire())) == ((), None)
    assert table.unfinished().waiting == ("b",)
    world.end(table.claim_all()["a"])
    assert table.states("a", "b") == ["succeeded", "queued"]
    assert table.find() is None


def test_the_earliest_is_due_first_and_only_active_ones_are(world: World, table: Timetable) -> None:
    table.put(
        schedule("late", next_fire_at=START),
        schedule("first", next_fire_at=START - 5),
        schedule("again", next_fire_at=START - 5),
        schedule("future", next_fire_at=START + 1),
        schedule("nothing", next_fire_at=None),
        *[schedule(phase.value, phase=phase, next_fire_at=START - 9) for phase in Phase if phase is not Phase.ACTIVE],
    )
    assert [due.schedule.id for due in table.due()] == ["again", "first", "late"]
    assert [due.schedule.id for due in table.due(limit=2)] == ["again", "first"]
    assert table.due() == table.due()
    assert world.run(world.storage.next_fire()) == START - 5
    world.clock.advance(1)
    assert len(table.due()) == 4


def test_nothing_is_due_where_there_is_nothing(world: World, table: Timetable) -> None:
    assert (table.due(), world.run(world.storage.next_fire())) == ((), None)
    assert (table.put(), table.fire(), table.delete(), table.record()) == ((), (), (), ())


def found(world: World, **where: object) -> list[str]:
    page = world.run(world.storage.list_schedules(ScheduleFilter(**where), limit=100))  # type: ignore[arg-type]
    assert page.next is None
    return [schedule.id for schedule in page.items]


def test_schedules_are_listed_by_what_they_are(world: World, table: Timetable) -> None:
    table.put(
        schedule("a.1", phase=Phase.PAUSED),
        schedule("a.2", run=RunSpec("mail.send"), owner="code"),
        schedule("b", run=RunSpec("mail.get"), phase=Phase.COMPLETED),
    )
    assert found(world) == ["a.1", "a.2", "b"]
    assert found(world, prefix="a.") == ["a.1", "a.2"]
    assert found(world, phases=frozenset({Phase.PAUSED, Phase.COMPLETED})) == ["a.1", "b"]
    assert found(world, phases=frozenset({Phase.PAUSED, Phase.ACTIVE})) == ["a.1", "a.2"]
    assert found(world, phases=frozenset()) == []
    assert found(world, functions=("mail.*",)) == ["a.2", "b"]
    assert found(world, functions=("mail.send",)) == ["a.2"]
    assert found(world, functions=("f", "mail.get"), phases=frozenset({Phase.PAUSED})) == ["a.1"]
    assert found(world, owner="code", prefix="a", functions=("*",)) == ["a.2"]


def test_schedules_are_listed_by_the_code_that_declares_them(world: World, table: Timetable) -> None:
    table.put(
        schedule("a", owner="code", declared='{"cron":"@daily","$source":"app","$revision":3}'),
        schedule("b", owner="code", declared='{"cron":"@daily","$source":"other"}', phase=Phase.ORPHANED),
        schedule("c", owner="code", declared='{"$source":"app"}', phase=Phase.PAUSED),
        schedule("d", owner="code", declared='{"cron":"@daily"}'),
        schedule("e"),
    )
    assert found(world, source="app") == ["a", "c"]
    assert found(world, source="app", phases=frozenset({Phase.ACTIVE}), owner="code") == ["a"]
    assert found(world, source="other", functions=("f",)) == ["b"]
    assert found(world, source="") == []


def test_a_page_says_where_the_next_begins(world: World, table: Timetable) -> None:
    table.put(*[schedule(f"s{n}") for n in (3, 1, 2)])
    first = world.run(world.storage.list_schedules(ScheduleFilter(), limit=2))
    assert ([one.id for one in first.items], first.next) == (["s1", "s2"], "s2")
    second = world.run(world.storage.list_schedules(ScheduleFilter(), limit=2, after=first.next))
    assert ([one.id for one in second.items], second.next) == (["s3"], None)


def test_a_completed_schedule_is_deleted_in_its_time(world: World, table: Timetable) -> None:
    table.put(schedule(delete_after=SECOND), schedule("kept"))
    for name in ("s", "kept"):
        table.fire(firing(table.get(name), a_fire(name, name, 0), next_fire_at=None, phase=Phase.COMPLETED))
    world.clock.advance(SECOND)
    world.run(world.storage.prune(now=world.now))
    assert table.find() is not None, "its run has not ended"
    world.end(table.claim_all()["s"])
    world.run(world.storage.prune(now=world.now))
    assert (table.find(), table.history()) == (None, ())
    assert table.find("kept") is not None
    assert table.put(SchedulePut(schedule(), unless_deleted=True)) == ("created",), "nobody deleted it by hand"
