"""Limits as values: the counter of a rate against a log of all that began, and the templates of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import DAY, HOUR, MINUTE, SECOND, Now
from angelica.domain.gates import Limit, gate_of, parent_of, parts_of, render
from angelica.domain.limits import (
    EMPTY,
    Bucket,
    LimitSettings,
    Rate,
    allowance,
    charge,
    frees_at,
    rate_text,
    read_rate,
    refund,
    settings_of,
)

START = 1_700_000_000_000_000
rates = st.builds(Rate, st.integers(1, 7), st.sampled_from([SECOND, 10 * SECOND, MINUTE, 137]))


def at(wall: int) -> Now:
    return Now(wall, wall, "boot")


def most_in_any_window(log: list[int], period: int) -> int:
    return max((sum(start <= moment < start + period for moment in log) for start in log), default=0)


@given(rates, st.lists(st.tuples(st.floats(0, 1.5), st.integers(0, 5)), max_size=60))
def test_no_window_has_more_than_the_rate(rate: Rate, steps: list[tuple[float, int]]) -> None:
    settings = LimitSettings(rate=rate)
    bucket, log, wall = EMPTY, list[int](), START
    for share, wanted in steps:
        wall += int(share * rate.period)
        count = allowance(settings, bucket, running=0, wanted=wanted, now=at(wall))
        assert 0 <= count <= wanted
        bucket = charge(bucket, rate, count, now=at(wall))
        log += [wall] * count
    assert most_in_any_window(log, rate.period) <= rate.count


@given(rates, st.lists(st.tuples(st.floats(-0.9, 1.2), st.integers(0, 5)), max_size=60))
def test_nor_where_the_clock_goes_back(rate: Rate, steps: list[tuple[float, int]]) -> None:
    settings = LimitSettings(rate=rate)
    bucket, log, wall, latest = EMPTY, list[int](), START, START
    for share, wanted in steps:
        wall = max(wall + int(share * rate.period), latest - rate.period)
        latest = max(latest, wall)
        count = allowance(settings, bucket, running=0, wanted=wanted, now=at(wall))
        bucket = charge(bucket, rate, count, now=at(wall))
        log += [wall] * count
    assert most_in_any_window(log, rate.period) <= rate.count


@given(rates, st.lists(st.tuples(st.floats(0, 0.4), st.integers(1, 5), st.booleans()), max_size=40))
def test_what_was_handed_back_is_given_again(rate: Rate, steps: list[tuple[float, int, bool]]) -> None:
    settings = LimitSettings(rate=rate)
    bucket, log, wall = EMPTY, list[int](), START
    for share, wanted, back in steps:
        wall += int(share * rate.period)
        count = allowance(settings, bucket, running=0, wanted=wanted, now=at(wall))
        bucket = charge(bucket, rate, count, now=at(wall))
        if back and count:
            bucket = refund(bucket, wall)
            assert allowance(settings, bucket, running=0, wanted=9, now=at(wall)) >= 1
            count -= 1
        log += [wall] * count
    assert most_in_any_window(log, rate.period) <= rate.count


@given(rates, st.lists(st.floats(0, 0.3), min_size=1, max_size=30))
def test_it_says_exactly_when_the_next_may_begin(rate: Rate, steps: list[float]) -> None:
    settings = LimitSettings(rate=rate)
    bucket, wall = EMPTY, START
    for share in steps:
        wall += int(share * rate.period)
        free = allowance(settings, bucket, running=0, wanted=1, now=at(wall))
        moment = frees_at(settings, bucket, now=at(wall))
        assert (moment is None) == (free == 1)
        if moment is not None:
            assert moment <= wall + rate.period * 102 // 100 + 200
            assert allowance(settings, bucket, running=0, wanted=1, now=at(moment)) == 1
            assert allowance(settings, bucket, running=0, wanted=1, now=at(moment - 1)) == 0
        bucket = charge(bucket, rate, free, now=at(wall))


def test_a_rate_left_alone_is_whole_again() -> None:
    rate = Rate(5, MINUTE)
    bucket = charge(EMPTY, rate, 5, now=at(START))
    later = at(START + MINUTE + MINUTE // 100 + 1)
    assert allowance(LimitSettings(rate=rate), bucket, running=0, wanted=9, now=later) == 5


def test_a_new_rate_counts_what_began_under_the_old_one() -> None:
    bucket = charge(EMPTY, Rate(5, MINUTE), 5, now=at(START))
    for period in (SECOND, MINUTE, HOUR):
        assert allowance(LimitSettings(rate=Rate(7, period)), bucket, running=0, wanted=9, now=at(START)) == 2


def test_a_clock_set_far_back_stops_nothing_for_longer_than_a_period() -> None:
    rate = Rate(5, MINUTE)
    bucket = charge(EMPTY, rate, 5, now=at(START + DAY))
    settings = LimitSettings(rate=rate)
    assert allowance(settings, bucket, running=0, wanted=9, now=at(START)) == 0
    bucket = charge(bucket, rate, 0, now=at(START))
    assert allowance(settings, bucket, running=0, wanted=9, now=at(START + 2 * MINUTE)) == 5


def test_the_lesser_of_room_and_rate() -> None:
    settings = LimitSettings(max_running=3, rate=Rate(10, MINUTE))
    assert allowance(settings, EMPTY, running=1, wanted=9, now=at(START)) == 2
    assert allowance(settings, EMPTY, running=5, wanted=9, now=at(START)) == 0
    assert allowance(LimitSettings(paused=True), EMPTY, running=0, wanted=9, now=at(START)) == 0
    assert allowance(LimitSettings(), EMPTY, running=9, wanted=9, now=at(START)) == 9


@pytest.mark.parametrize(
    ("text", "count", "period"),
    [("100/m", 100, MINUTE), ("5/s", 5, SECOND), ("1000/h", 1000, HOUR), ("1/30s", 1, 30 * SECOND), ("2/d", 2, DAY)],
)
def test_rates_are_read_and_written(text: str, count: int, period: int) -> None:
    assert read_rate(text) == Rate(count, period)
    assert rate_text(Rate(count, period)) == text


@pytest.mark.parametrize("text", ["", "5", "5/", "0/s", "5/x", "-1/s", "5 / s", "5/0s", 5, None, "99999999999/s"])
def test_what_is_no_rate_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="100/m"):
        read_rate(text)


def test_what_an_operator_has_set_goes_before_what_code_declares() -> None:
    settings = settings_of({"max_running": 5, "rate": None}, {"max_running": 2, "rate": "5/s"})
    assert settings == LimitSettings(max_running=5, rate=Rate(5, SECOND))
    assert settings_of({}, {}) == LimitSettings()


def test_a_key_is_made_of_arguments_and_headers() -> None:
    assert render("{tenant}", {"tenant": "acme"}, {}) == "acme"
    assert render("{tenant}-{n}", {"n": 3}, {"tenant": "acme"}) == "acme-3"
    assert render("{tenant}", {"tenant": "argument"}, {"tenant": "header"}) == "argument"
    assert render("{{{on}}}", {"on": True}, {}) == "{true}"


@pytest.mark.parametrize("arguments", [{}, {"tenant": ["a"]}, {"tenant": ""}, {"tenant": "x" * 129}, {"tenant": "\n"}])
def test_a_key_that_cannot_be_made_is_said_clearly(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="tenant"):
        render("{tenant}", arguments, {})


def test_a_limit_is_checked_where_it_is_declared() -> None:
    assert Limit("{tenant}", max_running=3, rate="100/m").settings == {"max_running": 3, "rate": "100/m"}
    for wrong in (
        {"key": "{tenant}"},
        {"max_running": -1},
        {"max_running": True},
        {"rate": "often"},
        {"key": "{", "max_running": 1},
        {"name": "a/b", "max_running": 1},
    ):
        with pytest.raises(ValueError, match=r"."):
            Limit(**wrong)  # type: ignore[arg-type]


def test_gates_have_names() -> None:
    gate = gate_of("limit", "per.tenant", "a/b")
    assert gate == "limit:per.tenant/a/b"
    assert parts_of(gate) == ("limit", "per.tenant", "a/b")
    assert parent_of(gate) == "limit:per.tenant"
    assert parent_of("limit:per.tenant") is None
    assert parent_of("queue:a/b") is None
    assert parts_of("queue:a/b") == ("queue", "a/b", "")
    assert refund(Bucket(), START) == Bucket()
