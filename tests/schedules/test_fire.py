"""What a pass over a due schedule decides, policy by policy."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from angelica.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from angelica.domain.fire import PASS, delete_at, fire, resume, task_id_of
from angelica.domain.ids import check_id
from angelica.domain.schedule import (
    MAX_QUEUED,
    CatchUp,
    Overlap,
    Phase,
    RunSpec,
    Skipped,
    SkipReason,
    TriggerSpec,
    Unfinished,
)
from angelica.domain.task import Extras, Policy
from angelica.domain.trigger import first_fire_at
from tests.schedules.house import START, applied, at, schedule

NOBODY = Unfinished()
FIRST = START + MINUTE


def passed(due, wall, unfinished=NOBODY):
    return fire(due, now=at(wall), unfinished=unfinished)


def times(firing):
    return [(run.fire_time - START) // MINUTE for run in firing.fires]


def spans(firing):
    return [(str(s.reason), (s.first - START) // MINUTE, (s.last - START) // MINUTE, s.count) for s in firing.skipped]


def test_a_fire_makes_the_task_that_the_schedule_describes():
    extras = Extras(
        labels={"team": "a"},
        headers={"tenant": "t"},
        extensions={"mine": 1, "fire_time": "no"},
        created_by="me",
        digest="d",
        parent_id="p",
        retry_of="r",
    )
    run = RunSpec("reports.nightly", '{"args":[1],"kwargs":{}}', Policy(retries=7), "slow", "thread", 5, 2, extras)
    due = schedule(run=run, id="nightly")
    firing = passed(due, FIRST + 300 * MILLISECOND)
    (fired,) = firing.fires
    task = fired.task
    assert (task.function, task.payload, task.queue, task.executor) == (run.function, run.payload, "slow", "thread")
    assert (task.priority, task.version, task.policy) == (5, 2, run.policy)
    assert (task.run_at, task.created_at) == (FIRST, FIRST + 300 * MILLISECOND)
    assert task.id == task_id_of("nightly", FIRST) == check_id(task.id)
    assert task.extras == replace(extras, schedule_id="nightly", extensions={"mine": 1, "fire_time": FIRST})
    assert len(task.trace_id) == 32
    assert (firing.next_fire_at, firing.last_fire_at, firing.runs) == (FIRST + MINUTE, FIRST, 1)
    assert (firing.phase, firing.phase_reason, fired.after, firing.skipped, firing.cancel) == (
        Phase.ACTIVE, "", None, (), (),
    )  # fmt: skip


def test_the_same_pass_on_two_nodes_is_the_same_firing():
    due = schedule(catch_up=CatchUp.ALL, overlap=Overlap.QUEUE_ALL, jitter=20 * SECOND)
    assert passed(due, FIRST + HOUR) == passed(due, FIRST + HOUR)


def test_ids_of_fires_sort_by_time_and_differ_by_schedule_and_microsecond():
    ids = [task_id_of("s", FIRST + n * MINUTE) for n in range(500)]
    assert ids == sorted(set(ids))
    near = {task_id_of(name, FIRST + n) for name in ("s", "s1", "s|1", "t") for n in range(250)}
    assert len(near) == 1000
    assert task_id_of("s", FIRST)[14] == "8"
    assert task_id_of("s", FIRST)[19] in "89ab"


def test_a_fire_found_within_grace_runs_and_one_found_later_is_missed():
    due = schedule(catch_up=CatchUp.SKIP)
    assert times(passed(due, FIRST + 10 * SECOND)) == [1]
    late = passed(due, FIRST + 10 * SECOND + 1)
    assert (times(late), spans(late)) == ([], [("missed", 1, 1, 1)])
    assert late.next_fire_at == FIRST + MINUTE


def test_skip_runs_none_of_the_missed():
    firing = passed(schedule(catch_up=CatchUp.SKIP), START + 30 * MINUTE + 30 * SECOND)
    assert (times(firing), spans(firing)) == ([], [("missed", 1, 30, 30)])


def test_latest_runs_the_newest_missed_one_and_says_how_many_it_stands_for():
    firing = passed(schedule(), START + 30 * MINUTE + 30 * SECOND)
    assert (times(firing), spans(firing)) == ([30], [("missed", 1, 29, 29)])
    task = firing.fires[0].task
    assert task.extras.extensions == {"fire_time": START + 30 * MINUTE, "missed_count": 30}
    assert task.run_at == START + 30 * MINUTE + 30 * SECOND


def test_latest_runs_no_missed_one_where_a_fire_is_on_time():
    firing = passed(schedule(), START + 30 * MINUTE + SECOND)
    assert (times(firing), spans(firing)) == ([30], [("missed", 1, 29, 29)])
    assert "missed_count" not in firing.fires[0].task.extras.extensions
    assert firing.fires[0].task.run_at == START + 30 * MINUTE


def test_all_runs_the_missed_ones_inside_the_window_up_to_its_bound_the_oldest_first():
    due = schedule(catch_up=CatchUp.ALL, overlap=Overlap.ALLOW, catchup_window=20 * MINUTE, max_catchup=5)
    firing = passed(due, START + 30 * MINUTE + 30 * SECOND)
    assert times(firing) == [26, 27, 28, 29, 30]
    assert spans(firing) == [("missed", 1, 10, 10), ("capped", 11, 25, 15)]
    assert all("missed_count" not in run.task.extras.extensions for run in firing.fires)
    runs_at = [run.task.run_at for run in firing.fires]
    assert runs_at == [START + 30 * MINUTE + 30 * SECOND] * 5
    ids = [run.task.id for run in firing.fires]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    ("rules", "back", "runs", "recorded"),
    [
        ({"catch_up": CatchUp.SKIP}, 330, [], [("missed", 1, 5, 5)]),
        ({}, 330, [5], [("missed", 1, 4, 4)]),
        ({"catch_up": CatchUp.ALL}, 330, [1, 2, 3, 4, 5], []),
        ({"catch_up": CatchUp.ALL, "max_catchup": 2}, 330, [4, 5], [("capped", 1, 3, 3)]),
        ({"catch_up": CatchUp.ALL, "catchup_window": 3 * MINUTE}, 330, [3, 4, 5], [("missed", 1, 2, 2)]),
        ({}, 305, [5], [("missed", 1, 4, 4)]),
    ],
)
def test_the_documented_downtime(rules, back, runs, recorded):
    firing = passed(schedule(overlap=Overlap.ALLOW, **rules), START + back * SECOND)
    assert (times(firing), spans(firing)) == (runs, recorded)


def test_nothing_outside_the_window_is_caught_up():
    firing = passed(schedule(catchup_window=20 * SECOND), START + 30 * MINUTE + 30 * SECOND)
    assert (times(firing), spans(firing)) == ([], [("missed", 1, 30, 30)])


@pytest.mark.parametrize(
    ("policy", "rules", "runs", "missed", "capped"),
    [
        (CatchUp.SKIP, {}, 0, 1440, 0),
        (CatchUp.LATEST, {}, 1, 1439, 0),
        (CatchUp.LATEST, {"catchup_window": 29 * SECOND}, 0, 1440, 0),
        (CatchUp.ALL, {}, 100, 0, 1340),
        (CatchUp.ALL, {"max_catchup": 7}, 7, 0, 1433),
        (CatchUp.ALL, {"catchup_window": HOUR}, 60, 1380, 0),
        (CatchUp.ALL, {"max_catchup": 2000}, 1000, 0, 0),
    ],
)
def test_a_day_of_downtime_costs_each_policy_exactly_its_runs(policy, rules, runs, missed, capped):
    for number in range(50):
        due = schedule(id=f"s{number}", catch_up=policy, overlap=Overlap.ALLOW, **rules)
        firing = passed(due, START + DAY + 30 * SECOND)
        assert len(firing.fires) == runs
        assert sum(s.count for s in firing.skipped if s.reason is SkipReason.MISSED) == missed
        assert sum(s.count for s in firing.skipped if s.reason is SkipReason.CAPPED) == capped
        assert len(firing.skipped) <= 2


def test_ninety_days_of_seconds_are_decided_in_bounded_memory():
    due = schedule(TriggerSpec(cron="* * * * * *", timezone="Europe/Berlin"), catch_up=CatchUp.ALL)
    passed(due, START + DAY)  # what is cached once is not the backlog's
    tracemalloc.start()
    firing = passed(due, START + 90 * DAY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 100 missed and 11 on time are looked at one by one: under `skip` the first of them runs.
    assert sum(s.count for s in firing.skipped) + len(firing.fires) == 90 * 86_400
    assert [(s.reason, s.count) for s in firing.skipped[1:]] == [(SkipReason.OVERLAP, 110)]
    assert peak < 1_000_000


def test_a_large_backlog_on_time_is_decided_over_several_passes():
    due = schedule(TriggerSpec(every=SECOND), grace=HOUR, overlap=Overlap.ALLOW)
    wall = START + 2500 * SECOND
    sizes = []
    while due.next_fire_at <= wall:
        firing = passed(due, wall)
        sizes.append(len(firing.fires))
        due = applied(due, firing)
    assert sizes == [PASS, PASS, 500]
    assert due.runs == 2500


def test_max_runs_ends_a_large_backlog_in_one_pass():
    due = schedule(TriggerSpec(every=SECOND), grace=HOUR, overlap=Overlap.ALLOW, max_runs=3)
    firing = passed(due, START + 2500 * SECOND)
    assert len(firing.fires) == 3
    assert sum(s.count for s in firing.skipped) == 2497
    assert {s.reason for s in firing.skipped} == {SkipReason.ENDED}
    assert (firing.next_fire_at, firing.phase, firing.phase_reason) == (None, Phase.COMPLETED, "max_runs")


def test_skip_lets_one_run_stand():
    busy = Unfinished(running=("a",))
    firing = passed(schedule(), FIRST, busy)
    assert (times(firing), spans(firing)) == ([], [("overlap", 1, 1, 1)])
    assert firing.runs == 0
    assert times(passed(schedule(), FIRST, Unfinished(waiting=("a",)))) == []


def test_allow_lets_as_many_stand_as_max_running():
    three = Unfinished(running=("a", "b"), waiting=("c",))
    assert times(passed(schedule(overlap=Overlap.ALLOW), FIRST, three)) == [1]
    assert times(passed(schedule(overlap=Overlap.ALLOW, max_running=4), FIRST, three)) == [1]
    assert spans(passed(schedule(overlap=Overlap.ALLOW, max_running=3), FIRST, three)) == [("overlap", 1, 1, 1)]


def test_queue_one_lets_one_wait_and_drops_the_others():
    due = schedule(overlap=Overlap.QUEUE_ONE)
    assert passed(due, FIRST).fires[0].after is None
    assert passed(due, FIRST, Unfinished(running=("a", "b"))).fires[0].after == "b"
    assert spans(passed(due, FIRST, Unfinished(running=("a",), waiting=("b",)))) == [("overlap", 1, 1, 1)]


def test_queue_all_makes_a_chain_up_to_its_bound():
    due = schedule(overlap=Overlap.QUEUE_ALL, catch_up=CatchUp.ALL)
    firing = passed(due, START + 4 * MINUTE + 30 * SECOND, Unfinished(running=("a",)))
    ids = [run.task.id for run in firing.fires]
    assert [run.after for run in firing.fires] == ["a", *ids[:-1]]
    crowd = tuple(f"w{n}" for n in range(MAX_QUEUED - 1))
    firing = passed(due, START + 4 * MINUTE + 30 * SECOND, Unfinished(("a",), crowd))
    assert (times(firing), spans(firing)) == ([1], [("overlap", 2, 4, 3)])


def test_cancel_stops_what_stands_and_waits_for_what_runs():
    due = schedule(overlap=Overlap.CANCEL)
    firing = passed(due, FIRST, Unfinished(running=("a", "b"), waiting=("c",)))
    assert firing.cancel == ("a", "b", "c")
    assert firing.fires[0].after == "b"
    free = passed(due, FIRST)
    assert (free.cancel, free.fires[0].after) == ((), None)


def test_cancel_starts_only_the_newest_of_several():
    due = schedule(overlap=Overlap.CANCEL, catch_up=CatchUp.ALL)
    firing = passed(due, START + 4 * MINUTE + 30 * SECOND, Unfinished(running=("a",)))
    assert (times(firing), spans(firing), firing.cancel) == ([4], [("overlap", 1, 3, 3)], ("a",))


def test_max_runs_completes_and_says_what_it_left():
    due = schedule(overlap=Overlap.ALLOW, catch_up=CatchUp.ALL, max_runs=2)
    firing = passed(due, START + 5 * MINUTE + 30 * SECOND)
    assert (times(firing), spans(firing)) == ([1, 2], [("ended", 3, 5, 3)])
    assert (firing.next_fire_at, firing.phase, firing.phase_reason) == (None, Phase.COMPLETED, "max_runs")


def test_a_fire_that_was_skipped_does_not_count_for_max_runs():
    due = schedule(max_runs=1)
    due = applied(due, passed(due, FIRST, Unfinished(running=("a",))))
    assert (due.runs, due.phase) == (0, Phase.ACTIVE)
    assert applied(due, passed(due, FIRST + MINUTE)).phase is Phase.COMPLETED


def test_bounds_take_the_start_and_leave_the_end():
    due = schedule(start_at=START + 3 * MINUTE, end_at=START + 5 * MINUTE, overlap=Overlap.ALLOW)
    assert due.next_fire_at == START + 3 * MINUTE
    due = applied(due, passed(due, START + 3 * MINUTE))
    firing = passed(due, START + 4 * MINUTE)
    assert (times(firing), firing.next_fire_at) == ([4], None)
    assert (firing.phase, firing.phase_reason) == (Phase.COMPLETED, "end_at")
    firing = passed(due, START + 9 * MINUTE)
    assert (times(firing), firing.skipped) == ([4], ())


def test_a_stored_fire_past_the_end_is_recorded_as_ended():
    due = replace(schedule(end_at=START + 5 * MINUTE), next_fire_at=START + 5 * MINUTE)
    firing = passed(due, START + 5 * MINUTE)
    assert firing.skipped == (Skipped(SkipReason.ENDED, START + 5 * MINUTE, START + 5 * MINUTE, 1),)
    assert (firing.phase, firing.phase_reason) == (Phase.COMPLETED, "last_fire" if firing.fires else "end_at")


def test_a_single_moment_fires_once():
    due = schedule(TriggerSpec(at=FIRST))
    firing = passed(due, FIRST + SECOND)
    assert (times(firing), firing.next_fire_at) == ([1], None)
    assert (firing.phase, firing.phase_reason) == (Phase.COMPLETED, "last_fire")
    late = passed(schedule(TriggerSpec(at=FIRST), catch_up=CatchUp.SKIP), FIRST + MINUTE)
    assert (times(late), spans(late), late.phase) == ([], [("missed", 1, 1, 1)], Phase.COMPLETED)


def test_a_delay_schedule_has_no_next_fire_while_it_runs():
    due = schedule(TriggerSpec(every=MINUTE, mode="delay"))
    firing = passed(due, FIRST + 5 * SECOND)
    assert (times(firing), firing.next_fire_at, firing.phase) == ([1], None, Phase.ACTIVE)
    assert delete_at(applied(due, firing)) is None


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_delay_schedule_never_overlaps_and_never_stops(overlap):
    due = schedule(TriggerSpec(every=MINUTE, mode="delay"), overlap=overlap)
    firing = passed(due, FIRST + 5 * SECOND, Unfinished(running=("by hand",)))
    assert (times(firing), spans(firing), firing.cancel) == ([], [("overlap", 1, 1, 1)], ())
    assert firing.next_fire_at == FIRST + 5 * SECOND + MINUTE


def test_a_paused_schedule_records_what_falls_due_and_stays_paused():
    due = replace(schedule(), phase=Phase.PAUSED, phase_reason="by hand", paused_at=START)
    firing = passed(due, START + 5 * MINUTE + SECOND)
    assert (times(firing), spans(firing)) == ([], [("paused", 1, 5, 5)])
    assert (firing.phase, firing.phase_reason, firing.seen_phase) == (Phase.PAUSED, "by hand", Phase.PAUSED)
    assert firing.next_fire_at == START + 6 * MINUTE


def test_resume_runs_nothing_of_the_pause():
    due = replace(schedule(), phase=Phase.PAUSED, phase_reason="by hand", paused_at=START + 30 * SECOND)
    firing = resume(due, now=at(START + 5 * MINUTE + SECOND), unfinished=NOBODY)
    assert (times(firing), spans(firing)) == ([], [("paused", 1, 5, 5)])
    assert (firing.phase, firing.phase_reason, firing.next_fire_at) == (Phase.ACTIVE, "", START + 6 * MINUTE)


def test_resume_decides_by_policy_what_fell_before_the_pause():
    due = replace(schedule(), phase=Phase.PAUSED, paused_at=START + 3 * MINUTE + 30 * SECOND)
    firing = resume(due, now=at(START + 5 * MINUTE + SECOND), unfinished=NOBODY)
    assert (times(firing), spans(firing)) == ([3], [("missed", 1, 2, 2), ("paused", 4, 5, 2)])


def test_resume_can_take_the_pause_as_missed():
    due = replace(schedule(), phase=Phase.PAUSED, paused_at=START + 30 * SECOND)
    firing = resume(due, now=at(START + 5 * MINUTE + 30 * SECOND), unfinished=NOBODY, catch_up=True)
    assert (times(firing), spans(firing)) == ([5], [("missed", 1, 4, 4)])


def test_resume_before_anything_is_due_changes_the_phase_alone():
    due = replace(schedule(), phase=Phase.ORPHANED, paused_at=START)
    firing = resume(due, now=at(START + SECOND), unfinished=NOBODY)
    assert (firing.fires, firing.skipped, firing.next_fire_at) == ((), (), FIRST)
    assert (firing.phase, firing.seen_phase, firing.last_fire_at) == (Phase.ACTIVE, Phase.ORPHANED, None)


def test_resume_keeps_a_fire_that_is_not_due_as_it_was_armed():
    due = schedule(TriggerSpec(every=HOUR, mode="delay"))
    due = replace(due, next_fire_at=START + 7 * MINUTE, phase=Phase.PAUSED, paused_at=START)
    assert resume(due, now=at(START + MINUTE), unfinished=NOBODY).next_fire_at == START + 7 * MINUTE


def test_resume_leaves_nothing_before_the_pause_to_a_later_pass():
    due = schedule(TriggerSpec(every=SECOND), grace=DAY, overlap=Overlap.ALLOW)
    due = replace(due, phase=Phase.PAUSED, paused_at=START + (PASS + 200) * SECOND)
    firing = resume(due, now=at(START + (PASS + 300) * SECOND), unfinished=NOBODY)
    assert (len(firing.fires), sum(span.count for span in firing.skipped)) == (PASS + 199, 101)
    assert firing.next_fire_at == START + (PASS + 301) * SECOND


def test_a_single_moment_that_passed_in_a_pause_completes_at_resume():
    due = replace(schedule(TriggerSpec(at=FIRST)), phase=Phase.PAUSED, paused_at=START)
    firing = resume(due, now=at(FIRST + MINUTE), unfinished=NOBODY)
    assert (spans(firing), firing.phase, firing.phase_reason) == ([("paused", 1, 1, 1)], Phase.COMPLETED, "last_fire")


def test_the_stored_fire_counts_even_where_the_trigger_has_moved_away_from_it():
    due = replace(schedule(catch_up=CatchUp.ALL, overlap=Overlap.ALLOW), next_fire_at=START + 90 * SECOND)
    firing = passed(due, START + 3 * MINUTE + 30 * SECOND)
    assert [run.fire_time - START for run in firing.fires] == [90 * SECOND, 2 * MINUTE, 3 * MINUTE]


def test_jitter_moves_the_run_and_not_the_fire():
    due = schedule(jitter=MINUTE, overlap=Overlap.ALLOW, catch_up=CatchUp.ALL, grace=HOUR)
    firing = passed(due, START + 30 * MINUTE)
    delays = [run.task.run_at - run.fire_time for run in firing.fires]
    assert all(0 <= delay < MINUTE for delay in delays)
    assert len(set(delays)) > 20
    assert times(firing) == list(range(1, 31))


def test_an_edit_moves_on_from_the_last_decided_fire():
    due = schedule()
    due = applied(due, passed(due, START + 5 * MINUTE, Unfinished(running=("a",))))
    assert due.last_fire_at == START + 5 * MINUTE
    # Even where the clock has stepped back meanwhile.
    assert first_fire_at(replace(due, version=2), now=START + 2 * MINUTE) == START + 6 * MINUTE


def test_a_completed_schedule_is_deleted_after_its_last_fire():
    due = schedule(TriggerSpec(at=FIRST), delete_after=HOUR)
    assert delete_at(due) is None
    assert delete_at(applied(due, passed(due, FIRST))) == FIRST + HOUR
    assert delete_at(replace(due, phase=Phase.COMPLETED)) == START + HOUR
    assert delete_at(replace(schedule(), phase=Phase.COMPLETED)) is None
