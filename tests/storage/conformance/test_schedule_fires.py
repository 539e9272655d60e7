"""Firing: exactly once (law 7), what is written with it, and the history that it leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelica.clock import DAY, SECOND
from angelica.domain.outcome import Failed
from angelica.domain.schedule import Fire, FireRecord, Overlap, Phase, SkipReason
from angelica.domain.task import State, TaskError
from angelica.storage.protocol import SchedulePut, Topic
from tests.storage.timetable import PERIOD, Timetable, a_fire, firing, run_of, schedule, span
from tests.storage.world import START, World


@pytest.fixture
def table(world: World) -> Timetable:
    return Timetable(world)


def test_a_fire_makes_its_task_and_moves_the_schedule(world: World, table: Timetable) -> None:
    table.put(schedule())
    (done,) = table.tick()
    assert table.get() == schedule(next_fire_at=START + PERIOD, last_fire_at=START, runs=1)
    task = world.get(done.fires[0].task.id)
    assert (task.spec, task.state) == (done.fires[0].task, State.QUEUED)
    assert table.history() == (FireRecord("s", START, "scheduled", task.id, recorded_at=START),)
    assert world.counts() == {("default", "queued"): 1}
    assert table.tick() == []


def test_of_two_that_decide_the_same_one_fires(table: Timetable) -> None:
    table.put(schedule())
    standing = table.get()
    mine = firing(standing, a_fire("s", "mine", 0), next_fire_at=START + PERIOD)
    yours = firing(standing, a_fire("s", "yours", 0), next_fire_at=START + PERIOD)
    assert table.fire(mine, yours) == (True, False)
    assert table.fire(yours, mine) == (False, False)
    assert table.unfinished().running == ("mine",)


def test_a_firing_is_refused_once_the_schedule_has_moved_on(world: World, table: Timetable) -> None:
    table.put(schedule())
    decided = firing(table.get(), a_fire("s", "a", 0), next_fire_at=START + PERIOD)
    for other in (schedule(version=2), schedule(phase=Phase.PAUSED), schedule(next_fire_at=START + 1), None):
        table.put(schedule() if other is None else other)
        if other is None:
            table.delete("s")
        assert table.fire(decided) == (False,)
    assert world.counts() == {}
    assert table.history() == ()


def test_a_fire_that_stands_is_not_run_again(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0)))
    table.put(schedule("t"))
    # The same moment of another schedule is another fire; the same id is the same task.
    assert table.fire(
        firing(replace(table.get(), last_fire_at=None), a_fire("s", "b", 0), a_fire("s", "c", 1)),
        firing(table.get("t"), a_fire("t", "a", 0), a_fire("t", "d", 1)),
    ) == (True, True)
    assert table.fires() == [(1, "c"), (0, "a")]
    assert table.unfinished().running == ("a", "c")
    assert table.unfinished("t").running == ("d",)
    assert world.counts() == {("default", "queued"): 3}


def test_what_was_decided_before_is_not_run_though_its_record_is_gone(world: World, table: Timetable) -> None:
    table.put(schedule(last_fire_at=START + PERIOD))
    assert table.fire(firing(table.get(), a_fire("s", "a", 0), a_fire("s", "b", 1), a_fire("s", "c", 2))) == (True,)
    assert table.fires() == [(2, "c")]


def test_a_firing_raises_no_version_and_writes_nothing_of_the_definition(table: Timetable) -> None:
    table.put(schedule(version=7))
    done = firing(table.get(), next_fire_at=None, phase=Phase.COMPLETED, phase_reason="ended", runs=3, last_fire_at=5)
    assert table.fire(done) == (True,)
    expected = replace(schedule(version=7), next_fire_at=None, phase=Phase.COMPLETED, phase_reason="ended", runs=3)
    assert table.get() == replace(expected, last_fire_at=5)


def test_a_firing_that_resumes_clears_what_the_pause_left(table: Timetable) -> None:
    table.put(schedule(phase=Phase.PAUSED, phase_reason="failures", paused_at=START, streak=4))
    paused = table.get()
    assert table.fire(firing(paused, seen_phase=Phase.ACTIVE, phase=Phase.ACTIVE)) == (False,)
    assert table.fire(firing(paused, phase_reason="failures")) == (True,)
    assert (table.get().paused_at, table.get().streak) == (START, 4)
    assert table.fire(firing(paused, phase=Phase.ACTIVE)) == (True,)
    assert table.get() == schedule()


def test_a_later_run_waits_for_its_time(world: World, table: Timetable) -> None:
    table.put(schedule(jitter=SECOND))
    before = [world.storage.mark(topic) for topic in (Topic.READY, Topic.DUE)]
    table.fire(firing(table.get(), Fire(START, run_of("s", "a", run_at=START + 1))))
    assert table.states("a") == ["scheduled"]
    ready, due = [world.storage.mark(topic) for topic in (Topic.READY, Topic.DUE)]
    assert (ready, due > before[1]) == (before[0], True)


def test_spans_are_kept_and_go_on_while_the_reason_is_the_same(world: World, table: Timetable) -> None:
    table.put(schedule())

    def skip(*spans: object, **parts: object) -> None:
        world.clock.advance(1)
        assert table.fire(firing(table.get(), skipped=spans, **parts)) == (True,)

    skip(span(SkipReason.OVERLAP, 0, 1, 2))
    skip(span(SkipReason.OVERLAP, 2, 2, 1), span(SkipReason.OVERLAP, 3, 5, 3))
    skip(span(SkipReason.MISSED, 6, 7, 2))
    skip(span(SkipReason.OVERLAP, 8, 8, 1))
    spans = [(r.reason, r.fire_time - START, (r.last or 0) - START, r.count) for r in table.history()]
    assert spans == [
        ("overlap", 8 * PERIOD, 8 * PERIOD, 1),
        ("missed", 6 * PERIOD, 7 * PERIOD, 2),
        ("overlap", 0, 5 * PERIOD, 6),
    ]
    assert [record.recorded_at - START for record in table.history()] == [4, 3, 2]


def test_a_run_ends_a_span_but_one_by_hand_does_not(table: Timetable) -> None:
    table.put(schedule())
    for minute in (0, 1):
        table.fire(firing(table.get(), skipped=(span(SkipReason.OVERLAP, minute, minute, 1),)))
        table.record((FireRecord("s", START + minute * PERIOD + 1, "manual", f"m{minute}"), run_of("s", f"m{minute}")))
    table.fire(firing(table.get(), a_fire("s", "a", 2), skipped=(span(SkipReason.OVERLAP, 3, 3, 1),)))
    assert table.fires() == [(3, "overlap"), (2, "a"), (1, "m1"), (0, "m0"), (0, "overlap")]
    assert table.history()[-1].count == 2


def test_a_cancel_is_written_with_the_fire(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0), a_fire("s", "b", 1)))
    running = world.claim(1)[0].id
    queued = "b" if running == "a" else "a"
    before = world.storage.mark(Topic.CONTROL)
    table.fire(firing(table.get(), a_fire("s", "c", 2, running), cancel=(running, queued, "none")))
    assert table.states(queued, "c") == ["cancelled", "waiting"]
    task = world.get(running)
    assert (task.cancel_requested, task.cancel_reason) == (True, "overlap")
    assert world.storage.mark(Topic.CONTROL) > before
    assert world.end(world.get(running), Failed(TaskError("exception")))
    assert table.states(running, "c") == ["cancelled", "queued"]


def test_history_is_read_from_the_newest_on(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), *[a_fire("s", f"r{n}", n) for n in range(4)]))
    assert table.fires(limit=2) == [(3, "r3"), (2, "r2")]
    assert table.fires(before=START + 2 * PERIOD, limit=9) == [(1, "r1"), (0, "r0")]
    assert table.fires("none") == []


def manual(task_id: str, at: int = START) -> tuple[FireRecord, object]:
    return FireRecord("s", at, "manual", task_id, recorded_at=START), run_of("s", task_id)


def past(task_id: str, minute: int = 0) -> tuple[FireRecord, object]:
    return FireRecord("s", START + minute * PERIOD, "backfill", task_id, recorded_at=START), run_of("s", task_id)


def test_runs_by_hand_never_stand_in_each_others_way(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0)))
    assert table.record(manual("x"), manual("y")) == (True, True)
    assert table.record(manual("x")) == (True,), "the same again is the same"
    assert table.unfinished().running == ("a", "x", "y")
    assert sorted(reason for _, reason in table.fires()) == ["a", "x", "y"]
    assert world.run(world.storage.fire_times("s", START, START + 1)) == (START,)
    assert table.get().runs == 1


def test_a_backfill_runs_a_moment_once_unless_forced(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0)))
    assert table.record(past("b"), past("c", -1), past("d", -1)) == (False, True, False)
    assert table.record(past("c", -1)) == (True,)
    assert table.record(past("e", -1), past("f"), force=True) == (True, True)
    assert table.unfinished().running == ("a", "c", "e", "f")
    assert world.run(world.storage.fire_times("s", START - PERIOD, START + 1)) == (START - PERIOD, START)
    # A fire that was backfilled is not run again when it comes.
    table.record(past("g", 5))
    table.fire(firing(table.get(), a_fire("s", "h", 5)))
    assert world.find("h") is None


def test_nothing_is_recorded_of_a_schedule_that_is_gone(world: World, table: Timetable) -> None:
    assert table.record(manual("x")) == (False,)
    assert (world.find("x"), table.history()) == (None, ())


def test_records_are_kept_for_eight_days_or_the_window_and_one(world: World, table: Timetable) -> None:
    table.put(schedule(), schedule("long", catchup_window=30 * DAY), schedule("short", catchup_window=SECOND))
    for name in ("s", "long", "short"):
        table.fire(firing(table.get(name), a_fire(name, name, 0)))
    world.clock.advance(8 * DAY - 1)
    world.run(world.storage.prune(now=world.now))
    assert all(table.history(name) for name in ("s", "long", "short"))
    world.clock.advance(1)
    assert world.run(world.storage.prune(now=world.now, limit=1)) == 1
    assert world.run(world.storage.prune(now=world.now, limit=1)) == 1
    assert (table.history(), table.history("short")) == ((), ())
    world.clock.advance(23 * DAY - 1)
    world.run(world.storage.prune(now=world.now))
    assert table.history("long")
    world.clock.advance(1)
    world.run(world.storage.prune(now=world.now))
    assert table.history("long") == ()


def test_a_put_with_an_edit_races_a_firing_and_one_of_both_applies(table: Timetable) -> None:
    table.put(schedule(overlap=Overlap.SKIP))
    seen = table.get()
    decided = firing(seen, a_fire("s", "a", 0), next_fire_at=START + PERIOD)
    edited = replace(seen, version=2, next_fire_at=START + 5)
    assert table.put(SchedulePut(edited, 1, seen=seen)) == ("updated",)
    assert table.fire(decided) == (False,)
    assert table.get() == edited
