"""Jitter: the same everywhere, inside its bound, spread evenly."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import HOUR, MILLISECOND, MINUTE, SECOND
from angelica.domain.jitter import jitter
from tests.schedules.house import START


@given(
    st.text("abc-_.:", min_size=1, max_size=20),
    st.integers(0, 2**52),
    st.integers(0, HOUR),
    st.none() | st.integers(1, HOUR),
)
def test_a_delay_is_whole_milliseconds_inside_its_bounds(name, moment, bound, gap):
    delay = jitter(name, moment, bound, gap=gap)
    assert delay % MILLISECOND == 0
    assert 0 <= delay <= bound
    assert gap is None or delay < gap
    assert delay == jitter(name, moment, bound, gap=gap)


def test_the_rule_is_the_published_one():
    # H = 64 bits of BLAKE2b over `id|epoch_ms`; others can work it out in any language.
    drawn = int.from_bytes(blake2b(f"nightly|{START // 1000}".encode(), digest_size=8).digest(), "big")
    assert jitter("nightly", START, 30 * SECOND) == drawn % 30_001 * MILLISECOND
    fixed = int.from_bytes(blake2b(b"nightly", digest_size=8).digest(), "big")
    assert jitter("nightly", START, 30 * SECOND, mode="fixed") == fixed % 30_001 * MILLISECOND


def test_no_bound_no_delay():
    assert jitter("s", START, 0) == 0
    assert jitter("s", START, MILLISECOND - 1) == 0


def test_fixed_is_the_same_for_each_fire_of_a_schedule():
    assert len({jitter("s", START + n * MINUTE, 40 * SECOND, mode="fixed") for n in range(100)}) == 1
    assert len({jitter(f"s{n}", START, 40 * SECOND, mode="fixed") for n in range(100)}) > 90
    assert len({jitter("s", START + n * MINUTE, 40 * SECOND) for n in range(100)}) > 90


def test_ten_thousand_schedules_spread_over_the_minute():
    tenths = Counter(jitter(f"s{n}", START, MINUTE) // (6 * SECOND) for n in range(10_000))
    assert all(800 <= tenths[tenth] <= 1200 for tenth in range(10))


def test_a_delay_never_reaches_the_next_fire():
    gap = 3 * MILLISECOND
    assert {jitter(f"s{n}", START, HOUR, gap=gap) for n in range(100)} == {0, MILLISECOND, 2 * MILLISECOND}


def test_runs_keep_their_order():
    runs = [START + n * 10 * SECOND + jitter("s", START + n * 10 * SECOND, HOUR, gap=10 * SECOND) for n in range(1000)]
    assert runs == sorted(set(runs))
