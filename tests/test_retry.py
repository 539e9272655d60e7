"""Retry arithmetic: the waits of each backoff policy, their bounds, and the wire form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.retry import (
    Exponential,
    Fixed,
    Linear,
    backoff_from_dict,
    backoff_to_dict,
    check_backoff,
    delay,
    exponential_backoff,
)

counts = st.integers(0, 100_000)
chances = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e6)
jitters = st.floats(0, 1)
policies = st.one_of(
    st.builds(Fixed, seconds, jitters),
    st.builds(Linear, seconds, seconds, jitters),
    st.builds(Exponential, seconds, seconds, st.floats(1, 10), jitters, st.sampled_from(["added", "capped", "full"])),
)


def test_the_default_doubles_from_one_second_to_a_minute() -> None:
    waits = [delay(Exponential(), n, chance=0.0) for n in range(8)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_jitter_adds_at_most_a_tenth() -> None:
    assert delay(Exponential(), 3, chance=0.5) == pytest.approx(8.4)
    assert delay(Fixed(10.0), 7, chance=0.5) == pytest.approx(10.5)
    assert delay(Linear(2.0, 5.0), 1, chance=0.0) == 4.0
    assert delay(Linear(2.0, 5.0), 2, chance=0.0) == 5.0


@given(counts, seconds, seconds, chances)
def test_the_function_of_the_public_surface_is_the_policy(count, base, cap, chance) -> None:
    expected = delay(Exponential(base, cap), count, chance=chance)
    assert exponential_backoff(count, base, cap, chance=chance) == expected


@given(policies, counts, chances)
def test_a_wait_is_finite_and_within_its_bound(policy, count, chance) -> None:
    wait = delay(policy, count, chance=chance)
    assert math.isfinite(wait)
    assert wait >= 0
    if isinstance(policy, Fixed):
        assert wait <= policy.delay * (1 + policy.jitter)
    elif isinstance(policy, Exponential) and policy.jitter_mode != "added":
        assert wait <= policy.cap
    else:
        assert wait <= policy.cap * (1 + policy.jitter)


@given(policies, counts)
def test_a_wait_never_shrinks(policy, count) -> None:
    assert delay(policy, count, chance=0.0) <= delay(policy, count + 1, chance=0.0)


@given(counts, chances)
def test_full_jitter_picks_from_nothing_to_all(count, chance) -> None:
    full = Exponential(jitter_mode="full")
    plain = Exponential(jitter=0.0)
    assert delay(full, count, chance=chance) == pytest.approx(delay(plain, count, chance=0.0) * chance)


@given(policies)
def test_the_wire_form_comes_back(policy) -> None:
    assert backoff_from_dict(backoff_to_dict(policy)) == policy


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ({"kind": "magic"}, "backoff.kind"),
        ({"kind": "fixed", "step": 1.0}, "takes delay, jitter"),
        ({"kind": "linear", "step": -1.0}, "backoff.step"),
        ({"base": math.nan}, "backoff.base"),
        ({"cap": math.inf}, "backoff.cap"),
        ({"factor": True}, "backoff.factor"),
        ({"base": "1"}, "backoff.base"),
        ({"jitter_mode": "some"}, "backoff.jitter_mode"),
    ],
)
def test_a_wrong_form_is_named(form, names) -> None:
    with pytest.raises(ValueError, match=names):
        backoff_from_dict(form)


def test_a_good_policy_passes() -> None:
    check_backoff(Exponential())
