"""Predictions of a start as functions of values, held against simulated lines."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import MINUTE, SECOND, Now
from angelica.domain.prediction import PICK_UP, Line, predict
from angelica.domain.reasons import Start

NOW = Now(1_000_000 * MINUTE, 0, "boot")
SAMPLE = 200
DRAWS = {
    "even": lambda chance: SECOND,
    "exponential": lambda chance: int(chance.expovariate(1) * SECOND) + 1,
    "mixed": lambda chance: SECOND // 10 if chance.random() < 0.8 else 4 * SECOND,
}


def test_a_free_slot_starts_it_now() -> None:
    assert predict(Line(ahead=2, slots=8, free=3), NOW) == Start(NOW.wall, NOW.wall, NOW.wall + PICK_UP)


def test_nothing_known_is_nothing_said() -> None:
    assert predict(Line(ahead=2, slots=8, free=2), NOW) is None
    assert predict(Line(ahead=0, slots=0, free=0, run_times=[SECOND]), NOW) is None


def test_it_does_not_start_before_its_time() -> None:
    due = NOW.wall + MINUTE
    assert predict(Line(0, 4, 4, not_before=due), NOW) == Start(due, due, due)
    found = predict(Line(600, 1, 0, [SECOND] * 9, not_before=due), NOW)
    assert found is not None
    assert found.p10 > due


lines = st.builds(
    Line,
    ahead=st.integers(0, 2_000),
    slots=st.integers(0, 64),
    free=st.integers(0, 8),
    run_times=st.lists(st.integers(0, 100 * SECOND), max_size=30),
    ends=st.lists(st.integers(NOW.wall - 10 * MINUTE, NOW.wall), max_size=30),
    since=st.integers(NOW.wall - 20 * MINUTE, NOW.wall),
    not_before=st.just(0),
)


@given(lines)
def test_an_interval_is_in_order_and_not_in_the_past(line) -> None:
    found = predict(line, NOW)
    if found is not None:
        assert NOW.wall <= found.p10 <= found.p50 <= found.p90


@given(lines.filter(lambda line: predict(line, NOW) is not None), st.integers(1, 1_000))
def test_who_stands_further_back_starts_no_earlier(line, more) -> None:
    first = predict(line, NOW)
    behind = Line(line.ahead + more, line.slots, line.free, line.run_times, line.ends, line.since)
    second = predict(behind, NOW)
    if first is not None and second is not None:
        assert second.p50 >= first.p50


def busy(chance: random.Random, slots: int, draw, ahead: int) -> tuple[Line, int]:
    """Let `slots` serve a line that is never empty, then look; return what is seen and how long the wait really is."""
    running = [chance.randint(0, draw(chance)) for _ in range(slots)]
    heapq.heapify(running)
    times, ends, moment = [], [], 0
    for _ in range(SAMPLE + 20 * slots):
        moment, took = heapq.heappop(running), draw(chance)
        heapq.heappush(running, moment + took)
        times.append(took)
        ends.append(moment)
    shown = Line(
        ahead, slots, 0, times[-SAMPLE:], [NOW.wall + end - moment for end in ends[-SAMPLE:]], NOW.wall - moment
    )
    start = moment
    for _ in range(ahead + 1):
        start = heapq.heappop(running)
        heapq.heappush(running, start + draw(chance))
    return shown, start - moment


@pytest.mark.parametrize("moves", [True, False], ids=["measured", "from slots"])
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("slots", "ahead"), [(1, 0), (1, 30), (4, 3), (8, 200), (32, 10), (32, 1_000)])
def test_of_ten_tasks_about_eight_start_within_the_interval(slots, ahead, draw, moves) -> None:
    chance = random.Random(f"{slots} {ahead} {draw}")
    inside = 0
    for _ in range(200):
        line, wait = busy(chance, slots, DRAWS[draw], ahead)
        if not moves:
            line = Line(line.ahead, line.slots, 0, line.run_times)
        found = predict(line, NOW)
        assert found is not None
        inside += found.p10 - SECOND // 100 <= NOW.wall + wait <= found.p90 + SECOND // 100
    assert inside >= 120, f"{inside} of 200"
