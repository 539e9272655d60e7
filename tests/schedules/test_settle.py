"""What the end of a run means for its schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import HOUR, MINUTE, Now
from angelica.domain.fire import fire, settle
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Cancelled, Failed, Released, Succeeded
from angelica.domain.schedule import Phase, TriggerSpec, Unfinished
from angelica.domain.task import Policy, State, Task, TaskError
from tests.schedules.house import START, applied, at, schedule

END = START + 10 * MINUTE


def ended(before, *failed, left=0, ended_at=END):
    for how in failed:
        before = settle(before, ended_at=ended_at, failed=how, unfinished_left=left)
    return before


def test_failures_in_a_row_pause():
    standing = schedule(pause_after_failures=3)
    twice = ended(standing, True, True)
    assert (twice.streak, twice.phase) == (2, Phase.ACTIVE)
    paused = ended(twice, True)
    assert (paused.streak, paused.phase, paused.phase_reason, paused.paused_at) == (3, Phase.PAUSED, "failures", END)
    assert paused.next_fire_at == standing.next_fire_at


def test_a_success_between_them_starts_the_row_anew():
    standing = ended(schedule(pause_after_failures=3), True, True, False, True, True)
    assert (standing.streak, standing.phase) == (2, Phase.ACTIVE)


def test_a_cancelled_run_counts_neither_way():
    standing = ended(schedule(pause_after_failures=3), True, True, None, None)
    assert (standing.streak, standing.phase) == (2, Phase.ACTIVE)
    assert ended(standing, True).phase is Phase.PAUSED


def test_failures_without_a_bound_are_counted_alone():
    standing = ended(schedule(), *[True] * 50)
    assert (standing.streak, standing.phase) == (50, Phase.ACTIVE)


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.COMPLETED, Phase.ORPHANED])
def test_only_an_active_schedule_is_paused(phase):
    standing = replace(schedule(pause_after_failures=1), phase=phase, phase_reason="before", paused_at=START)
    after = ended(standing, True)
    assert (after.phase, after.phase_reason, after.paused_at) == (phase, "before", START)


def test_nothing_to_write_is_the_same_value():
    standing = schedule()
    assert ended(standing, False) is standing
    assert ended(standing, None) is standing


def running(**rules):
    """Return a delay schedule of an hour whose run is going on."""
    due = schedule(TriggerSpec(every=HOUR, mode="delay"), **rules)
    return applied(due, fire(due, now=at(due.next_fire_at), unfinished=Unfinished()))


@pytest.mark.parametrize("failed", [True, False, None])
def test_a_delay_counts_from_the_end_however_the_run_ended(failed):
    standing = running()
    assert standing.next_fire_at is None
    assert ended(standing, failed, ended_at=START + 3 * HOUR + 7).next_fire_at == START + 4 * HOUR + 7


def test_a_delay_waits_for_the_last_unfinished_run():
    assert ended(running(), False, left=1).next_fire_at is None


def test_a_run_by_hand_puts_a_delay_off():
    armed = ended(running(), False, ended_at=START + 3 * HOUR)
    assert ended(armed, False, ended_at=START + 3 * HOUR + MINUTE).next_fire_at == START + 4 * HOUR + MINUTE


def test_a_delay_that_is_due_is_not_put_off_undecided():
    armed = ended(running(), False, ended_at=START + 3 * HOUR)
    assert ended(armed, False, ended_at=START + 5 * HOUR) is armed


def test_a_delay_is_armed_while_paused_and_fires_after_it():
    paused = replace(running(), phase=Phase.PAUSED, paused_at=START + 2 * HOUR)
    armed = ended(paused, False, ended_at=START + 3 * HOUR)
    assert (armed.phase, armed.next_fire_at) == (Phase.PAUSED, START + 4 * HOUR)


def test_a_delay_that_fails_too_often_is_paused_and_armed():
    armed = ended(running(pause_after_failures=1), True, ended_at=START + 3 * HOUR)
    assert (armed.phase, armed.next_fire_at) == (Phase.PAUSED, START + 4 * HOUR)


def test_a_delay_ends_with_its_bounds():
    over = ended(running(end_at=START + 2 * HOUR), False, ended_at=START + 90 * MINUTE)
    assert (over.next_fire_at, over.phase, over.phase_reason) == (None, Phase.COMPLETED, "end_at")
    spent = running(max_runs=1)
    assert (spent.phase, spent.phase_reason) == (Phase.COMPLETED, "max_runs")
    assert ended(spent, False) is spent


def test_a_clock_set_back_does_not_arm_a_fire_that_stands():
    standing = running()
    armed = ended(standing, False, ended_at=standing.last_fire_at - 5 * HOUR)
    assert armed.next_fire_at > standing.last_fire_at


@given(st.lists(st.sampled_from([True, False, None]), max_size=30), st.integers(1, 5))
def test_the_streak_is_the_failures_since_the_last_success(ends, bound):
    standing = schedule(pause_after_failures=bound)
    for upto, how in enumerate(ends, 1):
        standing = ended(standing, how)
        counted = [end for end in ends[:upto] if end is not None]
        streak = next((n for n, end in enumerate(reversed(counted)) if not end), len(counted))
        assert standing.streak == streak
        if how and streak >= bound:
            assert standing.phase is Phase.PAUSED


def test_ends_name_the_schedule_where_they_are_final():
    due = schedule(run=replace(schedule().run, policy=Policy(retries=1)))
    run = fire(due, now=at(due.next_fire_at), unfinished=Unfinished()).fires[0].task
    task = Task(run, State.RUNNING, attempt=1, run_at=run.run_at)
    now = Now(END, 0, "boot")
    failed = Failed(TaskError("exception"))
    for final in (Succeeded("1"), Cancelled(), replace(failed, final=True)):
        assert complete(task, final, now=now, chance=0).schedule_id == "s"
    assert complete(replace(task, failures=1), failed, now=now, chance=0).schedule_id == "s"
    for again in (failed, Released()):
        assert complete(task, again, now=now, chance=0).schedule_id is None
    plain = replace(task, spec=replace(run, extras=replace(run.extras, schedule_id=None)))
    assert complete(plain, Succeeded("1"), now=now, chance=0).schedule_id is None
