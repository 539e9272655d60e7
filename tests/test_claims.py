"""The order of claim as functions of values: levels that age, turns, shares."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import MINUTE, Now
from angelica.domain.claims import effective_level, rank_levels, rotate, share_out

NOW = Now(1_000 * MINUTE, 0, "boot")

levels = st.lists(
    st.tuples(st.sampled_from(["a", "a;x=1"]), st.integers(-128, 127), st.integers(0, 1_100 * MINUTE)),
    max_size=8,
    unique_by=lambda level: level[:2],
)
names = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)
ready = st.lists(st.integers(0, 50), max_size=8)


def test_a_level_gains_one_a_minute() -> None:
    assert effective_level(3, NOW.wall, now=NOW) == 3
    assert effective_level(3, NOW.wall - MINUTE + 1, now=NOW) == 3
    assert effective_level(3, NOW.wall - MINUTE, now=NOW) == 4
    assert effective_level(3, NOW.wall + 9 * MINUTE, now=NOW) == 3


@given(levels)
def test_every_level_is_ranked_once(found) -> None:
    assert sorted(rank_levels(found, now=NOW)) == sorted((lane, priority) for lane, priority, _ in found)


@given(levels)
def test_ranks_fall_and_ties_go_to_the_higher_priority(found) -> None:
    oldest = {level[:2]: level[2] for level in found}
    keys = [(effective_level(key[1], oldest[key], now=NOW), key[1]) for key in rank_levels(found, now=NOW)]
    assert keys == sorted(keys, reverse=True)


@given(levels, st.integers(-128, 127))
def test_nothing_starves(found, priority) -> None:
    """The lowest level that has waited longer than the whole range of priorities is first."""
    others = [(lane, p, min(NOW.wall, oldest + 900 * MINUTE)) for lane, p, oldest in found if p != priority]
    assert rank_levels([*others, ("a", priority, NOW.wall - 400 * MINUTE)], now=NOW)[0] == ("a", priority)


def test_of_lanes_at_one_level_the_one_that_has_waited_longer_is_first() -> None:
    found = [("a", 0, NOW.wall - 5), ("a;x=1", 0, NOW.wall - 9), ("a;y=1", 0, NOW.wall - 9), ("a", 1, NOW.wall)]
    assert rank_levels(found, now=NOW) == [("a", 1), ("a;x=1", 0), ("a;y=1", 0), ("a", 0)]


@given(names, st.integers(0, 100))
def test_a_turn_keeps_the_order_and_all_queues(queues, turn) -> None:
    turned = rotate(queues, turn)
    assert sorted(turned) == sorted(queues)
    if queues:
        start = queues.index(turned[0])
        assert turned == queues[start:] + queues[:start]


@given(names)
def test_every_queue_is_first_once_in_a_round(queues) -> None:
    assert [rotate(queues, turn)[0] for turn in range(len(queues))] == queues


@given(st.integers(0, 200), ready)
def test_shares_fill_what_they_can(wanted, counts) -> None:
    shares = share_out(wanted, counts)
    assert len(shares) == len(counts)
    assert all(0 <= share <= count for share, count in zip(shares, counts, strict=True))
    assert sum(shares) == min(wanted, sum(counts))


@given(st.integers(0, 200), ready)
def test_no_queue_gets_less_than_its_even_share_while_another_gets_more(wanted, counts) -> None:
    shares = share_out(wanted, counts)
    for share, count in zip(shares, counts, strict=True):
        assert share >= min(count, wanted // len(counts))


@given(st.integers(0, 200), ready)
def test_counting_past_the_wanted_number_changes_nothing(wanted, counts) -> None:
    assert share_out(wanted, counts) == share_out(wanted, [min(count, wanted) for count in counts])
