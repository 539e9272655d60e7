"""Passes over schedules against an oracle that walks every instant, and over whole lives of schedules."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from angelica.clock import HOUR, MINUTE, SECOND
from angelica.domain.fire import fire, resume, settle
from angelica.domain.schedule import CatchUp, Overlap, Phase, Rules, RunSpec, Schedule, TriggerSpec, Unfinished
from angelica.domain.trigger import anchor_of, first_fire_at, is_delay, next_fire_after
from tests.schedules.house import START, applied, at, due_of, expected, verdicts_of

triggers = st.sampled_from(
    [
        TriggerSpec(cron="* * * * *"),
        TriggerSpec(cron="*/20 * * * * *"),
        TriggerSpec(cron="17,40 */2 * * *", timezone="Europe/Berlin"),
        TriggerSpec(cron="@every 45s"),
        TriggerSpec(every=17 * SECOND + 300_000),
        TriggerSpec(every=20 * MINUTE),
        TriggerSpec(every=90 * SECOND, mode="delay"),
        TriggerSpec(repeat="R20/2026-06-01T00:05:00Z/PT3M"),
        TriggerSpec(repeat="R/2026-05-31T23:59:00Z/P1DT1H", timezone="Asia/Shanghai"),
        TriggerSpec(at=START + 5 * MINUTE),
    ]
)
spans = st.integers(0, 3 * HOUR // SECOND).map(lambda n: n * SECOND) | st.sampled_from([0, 1, MINUTE, 5 * HOUR])
moments = st.integers(-HOUR, 6 * HOUR).map(lambda n: START + n // 500_000 * 500_000)
all_rules = st.builds(
    Rules,
    start_at=st.none() | moments,
    end_at=st.none() | moments,
    max_runs=st.none() | st.integers(1, 12),
    overlap=st.sampled_from(Overlap),
    max_running=st.none() | st.integers(1, 4),
    catch_up=st.sampled_from(CatchUp),
    grace=st.sampled_from([0, 10 * SECOND, 10 * SECOND, 5 * MINUTE]),
    catchup_window=st.none() | st.sampled_from([0, SECOND, 7 * MINUTE, 2 * HOUR]),
    max_catchup=st.sampled_from([0, 1, 3, 100]),
    jitter=st.sampled_from([0, 30 * SECOND]),
    pause_after_failures=st.none() | st.integers(1, 3),
)
crowds = st.builds(
    Unfinished,
    running=st.integers(0, 3).map(lambda n: tuple(f"r{i}" for i in range(n))),
    waiting=st.integers(0, 2).map(lambda n: tuple(f"w{i}" for i in range(n))),
)


def made(trigger, rules, created=START):
    draft = Schedule("s", trigger, RunSpec("f"), rules, anchor=anchor_of(rules, created), created_at=created)
    return replace(draft, next_fire_at=first_fire_at(draft, now=created))


@settings(max_examples=250, deadline=None)
@given(trigger=triggers, rules=all_rules, late=spans, unfinished=crowds, runs=st.integers(0, 3))
def test_a_pass_decides_what_the_oracle_decides(trigger, rules, late, unfinished, runs):
    before = replace(made(trigger, rules), runs=runs)
    assume(before.next_fire_at is not None)
    wall = before.next_fire_at + late
    firing = fire(before, now=at(wall), unfinished=unfinished)
    assert verdicts_of(firing, due_of(before, wall)) == expected(before, wall, unfinished)
    assert [run.fire_time for run in firing.fires] == sorted(run.fire_time for run in firing.fires)
    assert [span.first for span in firing.skipped] == sorted(span.first for span in firing.skipped)
    after = applied(before, firing)
    assert after.runs == runs + len(firing.fires)
    assert after.next_fire_at is None or after.next_fire_at > wall
    assert (after.phase is Phase.COMPLETED) == bool(after.phase_reason)


@settings(max_examples=150, deadline=None)
@given(
    trigger=triggers, rules=all_rules, late=spans, unfinished=crowds, paused=st.none() | spans, catch_up=st.booleans()
)
def test_a_resume_decides_what_fell_due_meanwhile(trigger, rules, late, unfinished, paused, catch_up):
    before = made(trigger, rules)
    assume(before.next_fire_at is not None)
    wall = before.next_fire_at + late
    paused_at = None if paused is None else min(before.next_fire_at + paused - HOUR, wall)
    before = replace(before, phase=Phase.PAUSED, phase_reason="enough", paused_at=paused_at)
    firing = resume(before, now=at(wall), unfinished=unfinished, catch_up=catch_up)
    held_from = None if catch_up else paused_at or 0
    assert verdicts_of(firing, due_of(before, wall)) == expected(before, wall, unfinished, held_from=held_from)
    assert firing.seen_phase is Phase.PAUSED
    assert firing.phase in {Phase.ACTIVE, Phase.COMPLETED}
    assert firing.phase_reason != "enough"


class Life(RuleBasedStateMachine):
    """One schedule through passes, pauses, edits, ends of runs, manual runs and steps of the clock.

    `said` keeps the verdict of each instant; a pass must decide all that is due, nothing twice, and name the very next.
    """

    @initialize(trigger=triggers, rules=all_rules)
    def begin(self, trigger, rules):
        self.wall = START
        self.schedule = made(trigger, rules)
        if self.schedule.next_fire_at is None:  # it would not have been accepted
            self.schedule = replace(self.schedule, phase=Phase.COMPLETED)
        self.said = {}
        self.unfinished = Unfinished()
        self.manual = 0

    def write(self, firing, held_from):
        before = self.schedule
        due = due_of(before, self.wall)
        said = verdicts_of(firing, due)
        assert said == expected(before, self.wall, self.unfinished, held_from=held_from)
        assert not said.keys() & self.said.keys()
        assert not self.said or not said or min(said) > max(self.said)
        self.said |= said
        self.schedule = applied(before, firing)
        assert before.last_fire_at is None or self.schedule.last_fire_at >= before.last_fire_at
        self.follow(before, firing)
        for run in firing.fires:
            self.enter(run.task.id, run.after)
        if firing.cancel:
            gone = set(firing.cancel) & set(self.unfinished.waiting)
            waiting = tuple(one for one in self.unfinished.waiting if one not in gone)
            self.unfinished = replace(self.unfinished, waiting=waiting)
            assert set(firing.cancel) - gone <= set(self.unfinished.running)

    def follow(self, before, firing):
        """Check that the next fire is the very next instant that the definition promises."""
        after = self.schedule
        if after.next_fire_at is not None:
            assert after.phase is not Phase.COMPLETED
            seen = max(before.next_fire_at, self.wall) if before.next_fire_at <= self.wall else before.next_fire_at - 1
            assert is_delay(after) or after.next_fire_at == next_fire_after(after, seen)
        elif after.phase is not Phase.COMPLETED:
            assert is_delay(after)
            assert firing.fires

    def enter(self, task_id, after):
        running, waiting = self.unfinished.running, self.unfinished.waiting
        if after is None:
            self.unfinished = Unfinished((*running, task_id), waiting)
        else:
            assert after in running or after in waiting
            self.unfinished = Unfinished(running, (*waiting, task_id))

    @rule(step=spans)
    def time_passes(self, step):
        self.wall += step

    @rule(step=st.integers(1, 2 * HOUR))
    def the_clock_is_set_back(self, step):
        self.wall -= step

    @precondition(lambda self: self.schedule.next_fire_at is not None and self.schedule.next_fire_at <= self.wall)
    @rule()
    def a_pass(self):
        active = self.schedule.phase is Phase.ACTIVE
        firing = fire(self.schedule, now=at(self.wall), unfinished=self.unfinished)
        self.write(firing, None if active else 0)
        if not active:
            assert not firing.fires

    @precondition(lambda self: self.schedule.phase is Phase.ACTIVE)
    @rule()
    def pause(self):
        self.schedule = replace(self.schedule, phase=Phase.PAUSED, phase_reason="", paused_at=self.wall)

    @precondition(lambda self: self.schedule.phase is Phase.PAUSED)
    @rule(catch_up=st.booleans())
    def resume(self, catch_up):
        before = self.schedule
        if before.next_fire_at is None:
            self.schedule = replace(before, phase=Phase.ACTIVE, phase_reason="", paused_at=None, streak=0)
            return
        firing = resume(before, now=at(self.wall), unfinished=self.unfinished, catch_up=catch_up)
        self.write(firing, None if catch_up else before.paused_at or 0)

    @rule(trigger=triggers, rules=all_rules)
    def edit(self, trigger, rules):
        if self.schedule.next_fire_at is not None and self.schedule.next_fire_at <= self.wall:
            self.a_pass()
        edited = replace(
            self.schedule, trigger=trigger, rules=rules, anchor=anchor_of(rules, START), version=2,
            phase=self.schedule.phase if self.schedule.phase is Phase.PAUSED else Phase.ACTIVE, phase_reason="",
        )  # fmt: skip
        edited = replace(edited, next_fire_at=first_fire_at(edited, now=self.wall))
        if edited.next_fire_at is None:
            edited = replace(edited, phase=Phase.COMPLETED, phase_reason="last_fire")
        elif self.said:
            assert edited.next_fire_at > max(self.said)
        self.schedule = edited

    @rule()
    def a_manual_run(self):
        self.manual += 1
        self.enter(f"m{self.manual}", None)

    @precondition(lambda self: self.unfinished.running)
    @rule(failed=st.sampled_from([True, False, None]), which=st.integers(0, 5))
    def a_run_ends(self, failed, which):
        running = list(self.unfinished.running)
        running.pop(which % len(running))
        waiting = self.unfinished.waiting
        if not running and waiting:
            running, waiting = [waiting[0]], waiting[1:]
        self.unfinished = Unfinished(tuple(running), waiting)
        before = self.schedule
        self.schedule = settle(before, ended_at=self.wall, failed=failed, unfinished_left=self.unfinished.count)
        bound = before.rules.pause_after_failures
        if failed and before.phase is Phase.ACTIVE and bound is not None and self.schedule.streak >= bound:
            assert self.schedule.phase in {Phase.PAUSED, Phase.COMPLETED}

    @invariant()
    def a_schedule_that_waits_for_nothing_is_completed(self):
        if hasattr(self, "schedule") and self.schedule.next_fire_at is None:
            assert self.schedule.phase is Phase.COMPLETED or self.unfinished.count


Life.TestCase.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLife = Life.TestCase
