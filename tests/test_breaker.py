"""Circuit breakers as values: when they trip, what they let through, and that they close again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, MINUTE, SECOND, Now
from angelica.domain.breaker import NEW, PARTS, UNBOUNDED, Breaker, Call, Circuit, Rules, from_form, to_form, totals
from angelica.domain.task import Lease

START = 1_000_000 * MINUTE
RULES = Rules()


def at(seconds: float) -> Now:
    return Now(START + int(seconds * SECOND), 0, "boot")


def call(failed: bool | None, n: int = 0, **parts) -> Call:
    return Call(Lease(f"t{n}", 1), failed, **parts)


def after(breaker: Breaker, *verdicts: bool | None, now: Now) -> Breaker:
    for verdict in verdicts:
        breaker = breaker.record(call(verdict), now)
    return breaker


def probed(breaker: Breaker, verdict: bool | None, now: Now, n: int = 7, **parts) -> Breaker:
    assert breaker.allow(now) == 1
    begun = breaker.begin(Lease(f"p{n}", 1), now)
    assert begun.allow(now) == 0
    return begun.record(Call(Lease(f"p{n}", 1), verdict, **parts), now)


OPEN = after(NEW, *[True] * 10, now=at(0))


def test_a_new_one_lets_all_through() -> None:
    assert NEW.allow(at(0)) == UNBOUNDED
    assert NEW.shown(at(0)) is Circuit.CLOSED


def test_nine_failures_are_too_few_and_ten_trip_it() -> None:
    nine = after(NEW, *[True] * 9, now=at(0))
    assert nine.allow(at(0)) == UNBOUNDED
    assert after(nine, True, now=at(1)).shown(at(1)) is Circuit.OPEN


@given(st.lists(st.booleans(), min_size=10, max_size=60))
def test_it_trips_as_soon_as_half_of_ten_or_more_have_failed(verdicts) -> None:
    breaker, failed = NEW, 0
    for count, verdict in enumerate(verdicts, 1):
        failed += verdict
        breaker = after(breaker, verdict, now=at(0))
        if count >= 10 and 2 * failed >= count:
            assert breaker.shown(at(0)) is Circuit.OPEN
            return
        assert breaker.shown(at(0)) is Circuit.CLOSED


@given(st.lists(st.booleans(), min_size=10, max_size=80))
def test_slow_calls_trip_it_where_the_95th_percentile_is_slow(slow) -> None:
    """The nearest rank: the value at place ceil(0.95 n) of n in order."""
    breaker = NEW
    for count, each in enumerate(slow, 1):
        breaker = breaker.record(call(False, slow=each), at(0))
        ordered = sorted(slow[:count])
        if count >= 10 and ordered[-(-count * 95 // 100) - 1]:
            assert breaker.shown(at(0)) is Circuit.OPEN
            return
        assert breaker.shown(at(0)) is Circuit.CLOSED


def test_what_is_older_than_the_window_counts_no_more() -> None:
    nine = after(NEW, *[True] * 9, now=at(0))
    assert after(nine, True, now=at(26)).shown(at(26)) is Circuit.OPEN
    late = after(nine, True, now=at(30))
    assert late.shown(at(30)) is Circuit.CLOSED
    assert totals(late, at(30)).calls == 1


def test_an_open_one_lets_nothing_through_for_half_a_minute_then_one() -> None:
    assert OPEN.allow(at(29.9)) == 0
    assert OPEN.tries_at(at(1)) == at(30).wall
    assert OPEN.shown(at(30)) is Circuit.HALF_OPEN
    assert OPEN.allow(at(30)) == 1


def test_it_closes_after_three_good_probes_in_a_row() -> None:
    breaker = OPEN
    for second in (30, 31):
        breaker = probed(breaker, False, at(second))
        assert breaker.shown(at(second)) is Circuit.HALF_OPEN
    breaker = probed(breaker, False, at(32))
    assert breaker.shown(at(32)) is Circuit.CLOSED
    assert totals(breaker, at(32)).calls == 0
    assert breaker.trips == 0


def test_a_bad_probe_opens_it_for_twice_as_long_up_to_ten_minutes() -> None:
    breaker, now, waits = OPEN, at(0), []
    for _ in range(7):
        waits.append((breaker.until - now.wall) // SECOND)
        now = Now(breaker.until, 0, "boot")
        breaker = probed(breaker, True, now)
    assert waits == [30, 60, 120, 240, 480, 600, 600]


def test_a_probe_that_says_nothing_leaves_room_for_the_next() -> None:
    breaker = probed(OPEN, None, at(30))
    assert breaker.shown(at(30)) is Circuit.HALF_OPEN
    assert breaker.allow(at(30)) == 1


def test_a_slow_probe_is_a_bad_one() -> None:
    assert probed(OPEN, False, at(30), slow=True).shown(at(30)) is Circuit.OPEN


def test_a_probe_that_is_never_heard_of_again_blocks_for_ten_minutes_at_most() -> None:
    begun = OPEN.begin(Lease("p", 1), at(30))
    assert begun.allow(at(629)) == 0
    assert begun.allow(at(630)) == 1


def test_only_the_probe_moves_a_half_open_one() -> None:
    begun = OPEN.begin(Lease("p", 2), at(30))
    assert after(begun, True, False, None, now=at(31)) == begun
    assert begun.record(Call(Lease("p", 1), True), at(31)) == begun, "another attempt of the same task is not it"


def test_attempts_that_began_before_it_closed_say_nothing_of_how_it_is() -> None:
    breaker = OPEN
    for second in (30, 31, 32):
        breaker = probed(breaker, False, at(second))
    old = [call(True, began=at(5).wall) for _ in range(20)]
    for each in old:
        breaker = breaker.record(each, at(33))
    assert breaker.shown(at(33)) is Circuit.CLOSED
    new = [replace(each, began=at(33).wall) for each in old]
    for each in new:
        breaker = breaker.record(each, at(34))
    assert breaker.shown(at(34)) is Circuit.OPEN


def test_a_retry_after_wins_over_the_wait_for_longer_and_for_shorter() -> None:
    nine = after(NEW, *[True] * 9, now=at(0))
    assert nine.record(call(True, retry_after=90 * SECOND), at(0)).until == at(90).wall
    assert nine.record(call(True, retry_after=5 * SECOND), at(0)).until == at(5).wall
    assert nine.record(call(True, retry_after=400 * DAY), at(0)).until == at(0).wall + DAY


def test_a_retry_after_of_a_call_before_the_last_one_counts_too() -> None:
    first = NEW.record(call(True, retry_after=90 * SECOND), at(0))
    assert after(first, *[True] * 9, now=at(2)).until == at(90).wall


def test_a_retry_after_of_an_attempt_that_still_ran_keeps_it_open() -> None:
    assert OPEN.record(call(True, retry_after=100 * SECOND), at(10)).until == at(110).wall
    assert OPEN.record(call(False, retry_after=100 * SECOND), at(10)) == OPEN


def test_what_an_operator_sets_stands() -> None:
    shut = NEW.force(Circuit.OPEN, at(0), by="eve", reason="migration")
    assert shut.allow(at(10_000)) == 0
    assert shut.tries_at(at(0)) is None
    assert (shut.by, shut.reason) == ("eve", "migration")
    held_open = OPEN.force(Circuit.CLOSED, at(1))
    assert held_open.allow(at(1)) == UNBOUNDED
    assert after(held_open, *[True] * 50, now=at(2)).allow(at(2)) == UNBOUNDED
    assert after(shut, *[False] * 5, now=at(2)).allow(at(100)) == 0
    assert shut.force(None, at(3)).allow(at(3)) == UNBOUNDED
    with pytest.raises(ValueError, match="open, closed or reset"):
        NEW.force(Circuit.HALF_OPEN, at(0))


def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    back = Now(START - DAY, 0, "boot")
    assert OPEN.allow(back) == 1
    assert after(NEW, *[True] * 9, now=at(0)).record(call(True), back).shown(back) is Circuit.CLOSED


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 700)),
        st.tuples(st.just("begin"), st.integers(0, 5)),
        st.tuples(
            st.just("end"),
            st.tuples(
                st.integers(0, 5), st.sampled_from([True, True, False, None]), st.sampled_from([None, None, 5, 1000])
            ),
        ),
        st.tuples(st.just("force"), st.sampled_from([Circuit.OPEN, Circuit.CLOSED, None])),
    ),
    max_size=120,
)


@given(steps)
def test_whatever_happens(history) -> None:
    """It stays small, is stored without loss, lets at most one probe through, and is never stuck."""
    breaker, second, running = NEW, 0.0, set()
    for what, value in history:
        now = at(second)
        if what == "wait":
            second += value
        elif what == "begin" and breaker.allow(now):
            breaker = breaker.begin(Lease(f"t{value}", 1), now)
            running.add(value)
            if breaker.shown(now) is Circuit.HALF_OPEN:
                assert breaker.allow(now) == 0
        elif what == "end":
            n, verdict, wish = value
            running.discard(n)
            breaker = breaker.record(call(verdict, n, retry_after=None if wish is None else wish * SECOND), now)
        elif what == "force":
            breaker = breaker.force(value, now)
        assert len(breaker.parts) <= PARTS
        assert from_form(json.loads(json.dumps(to_form(breaker)))) == breaker
        assert breaker.allow(now) in {0, 1, UNBOUNDED}
        assert breaker.forced is not None or breaker.allow(Now(now.wall + 2 * DAY, 0, "boot")) > 0


@given(steps, st.integers(1, 200))
def test_after_three_good_probes_in_a_row_anything_is_closed(history, wait) -> None:
    breaker = NEW
    for what, value in history:
        if what == "end":
            breaker = breaker.record(call(value[1], value[0]), at(0))
    second = 4_000.0 + wait
    if breaker.allow(at(second)) == 1:
        for n in range(3):
            breaker = probed(breaker, False, at(second + n), n)
    assert breaker.allow(at(second + 3)) == UNBOUNDED


def test_a_form_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert from_form({**to_form(OPEN), "colour": "red"}) == OPEN
    assert to_form(NEW) == {}


@given(st.integers(1, 100), st.integers(0, 40))
def test_rules_can_be_others(calls, trips) -> None:
    rules = Rules(window=10 * SECOND, calls=calls, first=SECOND, longest=4 * SECOND, probes=1)
    breaker = NEW
    for _ in range(calls):
        breaker = breaker.record(call(True), at(0), rules)
    assert breaker.until == at(1).wall
    now = at(0)
    for trip in range(trips):
        now = Now(breaker.until, 0, "boot")
        breaker = breaker.begin(Lease("p", 1), now, rules).record(Call(Lease("p", 1), True), now, rules)
        assert breaker.until - now.wall == min(SECOND << (trip + 1), 4 * SECOND)
