"""The share-out of a fair queue as a function of values: nobody waits for another one's flood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import MINUTE, SECOND, Now
from angelica.domain.fair import MEMORY, NEVER, Tenant, served_again, share_fairly, turns

NOW = Now(1_000 * SECOND, 0, "")

tenants = st.lists(
    st.builds(
        Tenant,
        st.text("abcdefghij", min_size=1, max_size=2),
        st.integers(0, 9),
        st.integers(0, 6),
        st.just(NEVER) | st.integers(NOW.wall - 2 * MEMORY, NOW.wall + 2 * MEMORY),
    ),
    max_size=8,
    unique_by=lambda tenant: tenant.name,
)
wishes = st.integers(0, 60)


def naive(found: list[Tenant], wanted: int) -> list[int]:
    """As the rule says it: one at a time."""
    left = list(found)
    taken = [0] * len(found)
    for _ in range(wanted):
        ready = [place for place, tenant in enumerate(left) if tenant.ready]
        if not ready:
            break
        place = min(ready, key=lambda p: (left[p].running, left[p].served, left[p].name))
        name, count, running, served = left[place]
        left[place] = Tenant(name, count - 1, running + 1, served_again(served, now=NOW))
        taken[place] += 1
    return taken


@given(tenants, wishes)
def test_it_is_the_rule_one_by_one(found, wanted) -> None:
    assert share_fairly(found, wanted, now=NOW) == naive(found, wanted)


@given(tenants, wishes)
def test_all_that_fits_is_taken_and_nothing_that_is_not_there(found, wanted) -> None:
    taken = share_fairly(found, wanted, now=NOW)
    assert sum(taken) == min(wanted, sum(tenant.ready for tenant in found))
    assert all(0 <= count <= tenant.ready for count, tenant in zip(taken, found, strict=True))


@given(tenants, wishes)
def test_no_tenant_gets_ahead_of_one_that_still_waits(found, wanted) -> None:
    taken = share_fairly(found, wanted, now=NOW)
    for waits, got in zip(found, taken, strict=True):
        if got == waits.ready:
            continue
        for other, count in zip(found, taken, strict=True):
            assert not count or other.running + count <= waits.running + got + 1


@given(tenants, wishes, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_given_is_of_no_matter(found, wanted, chance) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)
    one = dict(zip([t.name for t in found], share_fairly(found, wanted, now=NOW), strict=True))
    other = dict(zip([t.name for t in shuffled], share_fairly(shuffled, wanted, now=NOW), strict=True))
    assert one == other


@given(tenants, st.integers(0, 20), st.integers(0, 20))
def test_more_wanted_takes_from_nobody(found, wanted, more) -> None:
    pairs = zip(share_fairly(found, wanted, now=NOW), share_fairly(found, wanted + more, now=NOW), strict=True)
    assert all(less <= greater for less, greater in pairs)


def test_a_flood_leaves_a_place_for_each() -> None:
    found = [Tenant("flood", 100_000), *[Tenant(f"t{n}", 1) for n in range(9)]]
    assert share_fairly(found, 20, now=NOW) == [11, *[1] * 9]
    assert share_fairly([Tenant("flood", 100_000, running=8), Tenant("small", 3)], 4, now=NOW) == [1, 3]


def test_ties_go_to_the_one_that_was_served_the_longest_ago() -> None:
    found = [Tenant(name, 5, 1, served=NOW.wall - ago * SECOND) for name, ago in (("a", 1), ("b", 3), ("c", 2))]
    assert share_fairly(found, 1, now=NOW) == [0, 1, 0]
    assert share_fairly(found, 4, now=NOW) == [1, 2, 1]
    assert turns(found, 5, now=NOW) == [1, 2, 0, 1, 2]


def one_slot(found: list[Tenant], moments: int, *, pace: int, now: Now = NOW) -> tuple[list[str], list[Tenant]]:
    """Return who is served one at a time, by a slot that is free again each time, and how they stand then."""
    left, order = list(found), []
    for turn in range(moments):
        (place,) = turns(left, 1, now=(moment := Now(now.wall + turn * pace, 0, "")))
        order.append(left[place].name)
        left[place] = left[place]._replace(
            ready=left[place].ready - 1, served=served_again(left[place].served, now=moment)
        )
    return order, left


def test_those_that_have_work_all_the_time_have_turns() -> None:
    order, _ = one_slot([Tenant(name, 99) for name in "abc"], 60, pace=SECOND // 20)
    assert "".join(order) == "abc" * 20


def test_one_that_has_had_little_is_before_the_flood_each_time() -> None:
    """Not only once for each time that the flood had: else its second task waits for the flood, and for all others."""
    _, left = one_slot([Tenant("flood", 9_999)], 400, pace=SECOND // 20)
    later = Now(NOW.wall + 20 * SECOND, 0, "")
    order, _ = one_slot([*left, Tenant("a", 3), Tenant("b", 1)], 6, pace=SECOND // 20, now=later)
    assert order == ["a", "b", "a", "a", "flood", "flood"]


def test_one_that_had_everything_has_its_even_share_again_after_a_while() -> None:
    _, left = one_slot([Tenant("old", 9_999)], 2_000, pace=SECOND // 20)
    later = Now(NOW.wall + 100 * SECOND, 0, "")
    order, _ = one_slot([*left, Tenant("new", 9_999)], 1_000, pace=SECOND // 20, now=later)
    assert order.index("old") * (SECOND // 20) < MEMORY
    assert 98 <= order[-200:].count("old") <= 102


def test_what_was_had_is_forgotten() -> None:
    _, (much,) = one_slot([Tenant("much", 9_999)], 1_000, pace=SECOND // 20)
    end = NOW.wall + 50 * SECOND
    once = served_again(NEVER, now=Now(end + 5 * MINUTE, 0, ""))
    assert end < much.served < once


@given(st.integers(NOW.wall - 9 * MINUTE, NOW.wall + 9 * MINUTE), st.integers(NOW.wall - 9 * MINUTE, NOW.wall))
def test_to_be_served_moves_back_in_the_line_and_keeps_the_order(one, other) -> None:
    assert served_again(one, now=NOW) >= max(one, NOW.wall)
    if one <= other:
        assert served_again(one, now=NOW) <= served_again(other, now=NOW)


def test_clocks_and_figures_out_of_all_bounds_are_no_harm() -> None:
    assert served_again(1, now=NOW) == served_again(NEVER, now=NOW) == NOW.wall
    assert served_again(1 << 60, now=NOW) == 1 << 60
