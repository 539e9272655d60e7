"""The share-out of a fair queue as a function of values: nobody waits for another one's flood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from angelica.domain.fair import Tenant, share_fairly, turns

tenants = st.lists(
    st.builds(
        Tenant, st.text("abcdefghij", min_size=1, max_size=2), st.integers(0, 9), st.integers(0, 6), st.integers(0, 5)
    ),
    max_size=8,
    unique_by=lambda tenant: tenant.name,
)
wishes = st.integers(0, 60)


def naive(found: list[Tenant], wanted: int) -> list[int]:
    """As the rule says it: one at a time."""
    left = list(found)
    taken = [0] * len(found)
    latest = max((t.served for t in found), default=0)
    for turn in range(1, wanted + 1):
        ready = [place for place, tenant in enumerate(left) if tenant.ready]
        if not ready:
            break
        place = min(ready, key=lambda p: (left[p].running, left[p].served, left[p].name))
        name, count, running, _ = left[place]
        left[place] = Tenant(name, count - 1, running + 1, latest + turn)
        taken[place] += 1
    return taken


@given(tenants, wishes)
def test_it_is_the_rule_one_by_one(found, wanted) -> None:
    assert share_fairly(found, wanted) == naive(found, wanted)


@given(tenants, wishes)
def test_all_that_fits_is_taken_and_nothing_that_is_not_there(found, wanted) -> None:
    taken = share_fairly(found, wanted)
    assert sum(taken) == min(wanted, sum(tenant.ready for tenant in found))
    assert all(0 <= count <= tenant.ready for count, tenant in zip(taken, found, strict=True))


@given(tenants, wishes)
def test_no_tenant_gets_ahead_of_one_that_still_waits(found, wanted) -> None:
    taken = share_fairly(found, wanted)
    for waits, got in zip(found, taken, strict=True):
        if got == waits.ready:
            continue
        for other, count in zip(found, taken, strict=True):
            assert not count or other.running + count <= waits.running + got + 1


@given(tenants, wishes, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_given_is_of_no_matter(found, wanted, chance) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)
    one = dict(zip([t.name for t in found], share_fairly(found, wanted), strict=True))
    other = dict(zip([t.name for t in shuffled], share_fairly(shuffled, wanted), strict=True))
    assert one == other


@given(tenants, st.integers(0, 20), st.integers(0, 20))
def test_more_wanted_takes_from_nobody(found, wanted, more) -> None:
    pairs = zip(share_fairly(found, wanted), share_fairly(found, wanted + more), strict=True)
    assert all(less <= greater for less, greater in pairs)


def test_a_flood_leaves_a_place_for_each() -> None:
    found = [Tenant("flood", 100_000), *[Tenant(f"t{n}", 1) for n in range(9)]]
    assert share_fairly(found, 20) == [11, *[1] * 9]
    assert share_fairly([Tenant("flood", 100_000, running=8), Tenant("small", 3)], 4) == [1, 3]


def test_ties_go_to_the_one_that_was_served_the_longest_ago() -> None:
    found = [Tenant("a", 5, 1, served=30), Tenant("b", 5, 1, served=10), Tenant("c", 5, 1, served=20)]
    assert share_fairly(found, 1) == [0, 1, 0]
    assert share_fairly(found, 4) == [1, 2, 1]
    assert turns(found, 5) == [1, 2, 0, 1, 2]


@given(tenants.filter(lambda found: any(t.ready for t in found)))
def test_served_one_at_a_time_each_has_its_turn(found) -> None:
    """With one slot that is free again each time, nobody waits for more turns than there are tenants."""
    left = [tenant._replace(running=0) for tenant in found]
    waits = dict.fromkeys([tenant.name for tenant in left if tenant.ready], 0)
    for moment in range(100, 100 + sum(tenant.ready for tenant in left)):
        (place,) = turns(left, 1)
        for name in waits:
            waits[name] += 1
        waits[left[place].name] = 0
        left[place] = left[place]._replace(ready=left[place].ready - 1, served=moment)
        waiting = [tenant.name for tenant in left if tenant.ready]
        assert all(waits[name] <= len(found) for name in waiting)
