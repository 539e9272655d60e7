"""Triggers of schedules: what each spelling means, where bounds cut, what is next."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from angelica.domain.cron.caution import warnings_for
from angelica.domain.cron.evaluate import first_fire, next_after, previous_before, upcoming
from angelica.domain.cron.expression import Cron
from angelica.domain.cron.interval import Every
from angelica.domain.cron.once import Once
from angelica.domain.cron.repeat import Repeat
from angelica.domain.cron.words import describe
from angelica.domain.schedule import Rules, TriggerSpec
from angelica.domain.trigger import (
    anchor_of,
    first_fire_at,
    is_delay,
    next_fire_after,
    occurrences,
    trigger_of,
    upcoming_fires,
)
from angelica.errors import InvalidValue
from tests.schedules.house import START, micros, schedule

EVERY = TriggerSpec(every=HOUR)
DELAY = TriggerSpec(every=HOUR, mode="delay")


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (TriggerSpec(cron="0 2 * * *"), Cron),
        (TriggerSpec(cron="@daily", timezone="Asia/Shanghai"), Cron),
        (TriggerSpec(cron="0 0 2 * * ?", dialect="quartz"), Cron),
        (TriggerSpec(cron="@every 90s"), Every),
        (EVERY, Every),
        (TriggerSpec(at=START), Once),
        (TriggerSpec(repeat="R5/2026-06-01T09:00/P1M"), Repeat),
    ],
)
def test_each_spelling_has_its_evaluator(spec, kind):
    assert isinstance(trigger_of(spec), kind)


def test_the_grid_of_an_interval_is_its_start_or_its_creation():
    for spec in (EVERY, TriggerSpec(cron="@every 1h")):
        made = schedule(spec, created=START + 7)
        assert made.anchor == START + 7
        assert made.next_fire_at == START + 7 + HOUR
        started = schedule(spec, start_at=START + 90 * MINUTE)
        assert started.next_fire_at == START + 90 * MINUTE
        assert next_fire_after(started, START + 90 * MINUTE) == START + 150 * MINUTE
        past = schedule(spec, start_at=START - 30 * MINUTE)
        assert past.next_fire_at == START + 30 * MINUTE
    assert anchor_of(Rules(), START) == START
    assert anchor_of(Rules(start_at=1), START) == 1


def test_an_edit_of_other_things_does_not_move_the_grid():
    made = schedule(EVERY, created=START + 7)
    edited = replace(made, version=2, rules=replace(made.rules, jitter=SECOND))
    assert first_fire_at(edited, now=START + 200 * MINUTE) == START + 7 + 4 * HOUR


def test_a_past_moment_is_taken_within_grace_or_the_window():
    def first(age, **rules):
        return first_fire_at(replace(schedule(TriggerSpec(at=START), **rules), next_fire_at=None), now=START + age)

    assert first(0) == START
    assert first(10 * SECOND) == START
    assert first(10 * SECOND + 1) is None
    assert first(HOUR, catchup_window=HOUR) == START
    assert first(HOUR + 1, catchup_window=HOUR) is None
    assert first(SECOND, catchup_window=0) == START
    assert first(-DAY) == START


def test_a_moment_that_fired_does_not_fire_again_when_edited():
    fired = replace(schedule(TriggerSpec(at=START)), last_fire_at=START)
    assert first_fire_at(fired, now=START + SECOND) is None
    moved = replace(fired, trigger=TriggerSpec(at=START + HOUR))
    assert first_fire_at(moved, now=START + SECOND) == START + HOUR


def test_bounds_cut_every_trigger():
    for spec in (TriggerSpec(cron="0 * * * *"), EVERY, TriggerSpec(repeat="R/2026-05-01T00:00:00Z/PT1H")):
        made = schedule(spec, start_at=START + 2 * HOUR, end_at=START + 4 * HOUR)
        assert made.next_fire_at == START + 2 * HOUR
        assert occurrences(made, 0, START + DAY, 10) == [START + 2 * HOUR, START + 3 * HOUR]
        assert next_fire_after(made, START + 3 * HOUR) is None
    assert schedule(TriggerSpec(at=START + HOUR), end_at=START + HOUR).next_fire_at is None
    assert schedule(TriggerSpec(at=START + HOUR), start_at=START + HOUR).next_fire_at == START + HOUR
    assert schedule(TriggerSpec(at=START + HOUR), start_at=START + HOUR + 1).next_fire_at is None


def test_a_schedule_that_had_all_its_runs_has_no_next():
    made = replace(schedule(max_runs=3), runs=3)
    assert first_fire_at(made, now=START) is None
    assert first_fire_at(replace(made, rules=Rules(max_runs=4)), now=START) == START + MINUTE


def test_a_delay_begins_at_its_start_or_a_period_after_its_creation():
    assert schedule(DELAY).next_fire_at == START + HOUR
    assert schedule(DELAY, start_at=START + 3 * HOUR).next_fire_at == START + 3 * HOUR
    assert schedule(DELAY, start_at=START - 3 * HOUR).next_fire_at == START + HOUR
    assert schedule(DELAY, end_at=START + HOUR).next_fire_at is None
    assert is_delay(schedule(DELAY))
    assert not is_delay(schedule(EVERY))


def test_occurrences_are_half_open_and_limited():
    made = schedule()
    assert occurrences(made, START + MINUTE, START + 3 * MINUTE, 9) == [START + MINUTE, START + 2 * MINUTE]
    assert occurrences(made, START + MINUTE + 1, START + 3 * MINUTE + 1, 1) == [START + 2 * MINUTE]
    assert occurrences(made, START - HOUR, START - HOUR + 2 * MINUTE, 9) == [START - HOUR, START - HOUR + MINUTE]
    assert occurrences(schedule(DELAY), START, START + DAY, 9) == [START + HOUR]
    assert occurrences(schedule(DELAY), START, START + HOUR, 9) == []


def test_upcoming_fires_are_those_that_are_left():
    made = schedule(max_runs=3)
    assert upcoming_fires(made, after=START, count=10) == [START + n * MINUTE for n in (1, 2, 3)]
    later = replace(made, runs=1, next_fire_at=START + HOUR)
    assert upcoming_fires(later, after=START, count=10) == [START + HOUR, START + HOUR + MINUTE]
    assert upcoming_fires(replace(made, next_fire_at=None), after=START, count=10) == []
    assert len(upcoming_fires(schedule(), after=START + DAY, count=5)) == 5


def test_the_least_interval_is_asked_of_new_definitions_only():
    fast = TriggerSpec(every=200 * MILLISECOND)
    assert next_after(trigger_of(fast), 0) == 200 * MILLISECOND
    with pytest.raises(InvalidValue) as caught:
        trigger_of(fast, least=SECOND)
    assert (caught.value.field, caught.value.rule, caught.value.hint) == (
        "/every", "too_short", "the least interval is 1 s",
    )  # fmt: skip
    for spec in (TriggerSpec(cron="@every 200ms"), TriggerSpec(repeat="R/2026-01-01T00:00:00Z/PT0.2S")):
        with pytest.raises(InvalidValue, match="too short"):
            trigger_of(spec, least=SECOND)
    with pytest.raises(InvalidValue, match="too long"):
        trigger_of(TriggerSpec(every=40_000 * DAY))


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (TriggerSpec(cron="61 * * * *"), "/cron"),
        (TriggerSpec(cron="0 0 * * *", timezone="Mars/Base"), "/timezone"),
        (TriggerSpec(at=START, timezone="Mars/Base"), "/timezone"),
        (TriggerSpec(every=SECOND, timezone="EST"), "/timezone"),
        (TriggerSpec(repeat="R0/2026-01-01/P1D"), "/repeat"),
        (TriggerSpec(), "/cron"),
    ],
)
def test_what_is_wrong_is_refused_at_its_field(spec, field):
    with pytest.raises(InvalidValue) as caught:
        trigger_of(spec)
    assert caught.value.field == field


def test_a_single_moment_is_told_in_words_and_refused_when_past():
    once = trigger_of(TriggerSpec(at=micros("2026-07-01T10:00:05+00:00"), timezone="Asia/Shanghai"))
    words = describe(once)
    assert (words.code, words.en, words.zh) == (
        "once",
        "Once, at 2026-07-01 18:00:05",
        "于 2026-07-01 18:00:05 运行一次",
    )
    assert words.params == {"at": "2026-07-01 18:00:05", "timezone": "Asia/Shanghai"}
    assert warnings_for(once) == ()
    assert upcoming(once, 0, 5) == [once.moment]
    assert previous_before(once, once.moment) is None
    assert previous_before(once, once.moment + 1) == once.moment
    with pytest.raises(InvalidValue, match="never fires") as caught:
        first_fire(once, once.moment, pointer="/at")
    assert (caught.value.rule, caught.value.hint) == ("no_future_fire", "its last fire has passed")


@given(
    spec=st.sampled_from([
        TriggerSpec(cron="*/7 3-5 * * *", timezone="Europe/Berlin"), EVERY, DELAY, TriggerSpec(at=START + HOUR),
        TriggerSpec(repeat="R9/2026-05-31T00:00/P1D", timezone="America/New_York"),
    ]),
    moments=st.lists(st.integers(START - 3 * DAY, START + 9 * DAY), min_size=2, max_size=2),
    start=st.none() | st.integers(START - DAY, START + DAY),
    end=st.none() | st.integers(START, START + 3 * DAY),
)  # fmt: skip
def test_next_is_later_monotone_and_inside_its_bounds(spec, moments, start, end):
    made = schedule(spec, start_at=start, end_at=end)
    earlier, later = sorted(moments)
    found = [next_fire_after(made, moment) for moment in (earlier, later)]
    for moment, fire_time in zip((earlier, later), found, strict=True):
        assert fire_time is None or fire_time > moment
        assert fire_time is None or start is None or fire_time >= start
        assert fire_time is None or end is None or fire_time < end
    if found[1] is not None:
        assert found[0] is not None
        assert found[0] <= found[1]
