"""The decisions of placement as functions of values: what fits, who keeps itself free, and that all agree on it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from angelica.clock import MINUTE, SECOND, Now
from angelica.domain.claims import effective_level
from angelica.domain.lanes import Offer, kind_of, known_lane, lane_of, may_take, needs_of, tenant_lane, unmet
from angelica.domain.placement import (
    FIRST_TURN,
    RESERVED_AFTER,
    Head,
    Late,
    Passed,
    Peer,
    Space,
    Spare,
    first_late,
    goes_before,
    reserver,
)
from angelica.domain.resources import Amount, Capacity, amount_of

NOW = Now(1_000 * SECOND, 0, "")
LARGE = "async;@cpu=4000"

cpus = st.one_of(st.integers(1, 64), st.floats(0.01, 1024, allow_nan=False), st.sampled_from([0.1, 0.57, 1 / 3]))
memories = st.integers(16 << 20, 1 << 45) | st.sampled_from([512 << 20, 4_000_000_000, 1_500_000_000])
needs = st.fixed_dictionaries({}, optional={"cpu": cpus, "memory": memories})
capacities = st.builds(Capacity, st.sampled_from([0.0, 0.5, 1.0, 4.0, 64.0]), st.sampled_from([0, 1 << 30, 10**10]))


@given(needs)
def test_an_amount_is_at_most_a_little_less_than_what_was_asked_for(resources):
    amount = amount_of(resources)
    for name, scale in (("cpu", 1000), ("memory", 1)):
        asked = Fraction(resources.get(name, 0)) * scale
        assert getattr(amount, name) <= asked + 1
        assert (getattr(amount, name) + 1) * Fraction(32, 31) > asked
    assert bool(amount.cpu) == bool(resources.get("cpu"))


@given(st.lists(needs, max_size=5), needs, capacities)
def test_what_fits_by_the_figures_fits_as_it_is_counted(running, resources, capacity):
    sums = {name: sum(Fraction(each.get(name, 0)) for each in [*running, resources]) for name in ("cpu", "memory")}
    bounds = {"cpu": capacity.cpu, "memory": capacity.memory}
    if all(not bounds[name] or sums[name] <= Fraction(bounds[name]) for name in bounds):
        assert capacity.fits_beside(running, resources)


@given(st.integers(1, 999), st.integers(0, 12))
def test_figures_of_three_digits_count_as_they_are(digits, zeros):
    size = digits * 10**zeros
    assert amount_of({"memory": size}).memory == size


def test_there_are_few_different_amounts():
    assert len({amount_of({"memory": size}).memory for size in range(10**6 + 1, 2 * 10**6, 7)}) < 200


@given(needs, st.dictionaries(st.sampled_from(["gpu", "zone"]), st.just("a")), st.booleans(), st.booleans())
def test_a_lane_says_what_a_task_needs(resources, labels, known, shared):
    lane = lane_of("command", labels, resources)
    if known:
        lane = known_lane(lane, "command:a@b~c!d")
    if shared:
        lane = tenant_lane(lane, "acme@x")
    said = needs_of(lane)
    assert said.amount == amount_of(resources)
    assert dict(said.labels) == labels
    assert said.function == ("command:a@b~c!d" if known else None)
    assert (said.tenant is not None) == shared
    assert kind_of(lane) == "command"


@given(needs, st.lists(st.builds(Offer, st.just({}), st.just(()), capacities, st.just(())), max_size=4))
def test_a_lane_is_held_exactly_where_every_worker_is_too_small(resources, offers):
    lane = lane_of("async", {}, resources)
    fits = [offer.capacity.fits(resources) for offer in offers]
    assert [may_take(lane, offer) for offer in offers] == fits
    assert unmet(lane, offers) == ("no_worker_fits" if offers and not any(fits) else None)


lanes = st.sampled_from([lane_of(kind, {}, each) for kind in ("async", "command") for each in (
    {"cpu": 0.5}, {"cpu": 1}, {"cpu": 3}, {"cpu": 4, "memory": 1 << 30}, {"memory": 3 << 30}, {},
)])  # fmt: skip
places = st.tuples(st.sampled_from(["a", "b"]), lanes)


@given(
    st.lists(st.tuples(places, st.integers(1, 9)), max_size=20),
    st.sampled_from([Capacity(4.0, 4 << 30), Capacity(8.0, 0), Capacity()]),
    st.sampled_from([Amount(), Amount(1500, 1 << 30), Amount(9000, 9 << 30)]),
    st.none() | st.fixed_dictionaries({"async": st.integers(-1, 3)}),
    st.none() | places,
)
def test_a_claim_never_takes_more_than_there_is_and_never_the_room_of_the_late_one(asked, capacity, taken, slots, late):
    kept = None if late is None or "@" not in late[1] else Late(0, *late)
    spare = Spare(Space(capacity, taken, slots), None if kept is None else Passed(kept, frozenset()))
    drawn: list[tuple[str, str]] = []
    for (queue, lane), wanted in asked:
        count = min(spare.most(queue, lane), wanted)
        spare.draw(queue, lane, count)
        drawn += [(queue, lane)] * count
    needy = [needs_of(lane) for _, lane in drawn if "@" in lane]
    total = Amount()
    for each in needy:
        total = total.plus(each.amount)
    for bound, before, more in zip((round(capacity.cpu * 1000), capacity.memory), taken, total, strict=True):
        assert not bound or not more or before + more <= bound
    if slots is not None:
        assert sum(each.kind == "async" for each in needy) <= max(slots["async"], 0)
        assert not any(each.kind == "command" for each in needy)
    if kept is not None and (kept.queue, kept.lane) not in drawn:
        own = needs_of(kept.lane).amount
        if capacity.times(own, taken):
            assert capacity.times(own, taken.plus(total))
        else:
            assert not needy


levels = st.lists(
    st.builds(
        lambda place, priority, age: Head(*place, priority, NOW.wall - age * SECOND),
        places,
        st.sampled_from([0, 1, 5]),
        st.integers(0, 400),
    ),
    unique_by=lambda head: head[:3],
)


@given(levels)
def test_the_first_in_line_that_is_late_and_could_run_there_counts(heads):
    capacity = Capacity(3.5, 4 << 30)
    found = first_late(heads, capacity, now=NOW)
    late = [
        head
        for head in heads
        if head.due <= NOW.wall - RESERVED_AFTER and "@" in head.lane and needs_of(head.lane).amount.cpu <= 3500
    ]
    if found is None:
        assert not late
        return
    assert found.late in {Late(head.due, head.queue, head.lane, head.priority) for head in late}
    ranks = {
        head: (-effective_level(head.priority, head.due, now=NOW), -head.priority, head.due, head.lane)
        for head in heads
    }
    (mine,) = [head for head in heads if Late(head.due, head.queue, head.lane, head.priority) == found.late]
    before = {head for head in heads if head.queue == mine.queue and "@" in head.lane and ranks[head] < ranks[mine]}
    assert found.ahead == {head[:3] for head in before}
    assert not before & set(late)
    for queue in {head.queue for head in late}:
        first = min((head for head in late if head.queue == queue), key=ranks.__getitem__)
        assert (mine.due, mine.queue) <= (first.due, first.queue)
    for head in heads:
        if head.due != mine.due:
            is_before = goes_before(found.late, head.queue, head.priority, head.due, now=NOW)
            assert is_before == (head.queue == mine.queue and ranks[head] < ranks[mine])


peers = st.lists(
    st.builds(
        Peer,
        st.sampled_from([f"w{n}" for n in range(9)]),
        st.builds(
            Offer, st.just({}), st.just(()), st.sampled_from([Capacity(2.0), Capacity(4.0), Capacity()]), st.just(())
        ),
        st.sampled_from([None, ("a",), ("b",)]),
        st.sampled_from([None, {}, {"team": "x"}]),
    ),
    unique_by=lambda peer: peer.worker,
)


@given(peers, st.randoms(), st.integers(0, 90 * MINUTE))
def test_all_who_ask_name_the_same_worker_and_it_can_do_it(known, rng, waited):
    late = Late(NOW.wall - RESERVED_AFTER - waited, "a", LARGE)
    found = reserver(late, known, {}, now=NOW)
    shuffled = list(known)
    rng.shuffle(shuffled)
    assert reserver(late, shuffled, {}, now=NOW) == found
    able = [p for p in known if p.offer.capacity != Capacity(2.0) and p.queues != ("b",) and not p.select]
    assert (found is not None) == bool(able)
    if found is not None:
        assert found in {peer.worker for peer in able}
        assert reserver(late, [p for p in known if p.worker != found], {}, now=NOW) != found


@given(st.integers(1, 5))
def test_each_gets_its_turn_and_each_turn_is_twice_as_long(count):
    known = [Peer(f"w{n}", Offer({}, ())) for n in range(count)]
    due = NOW.wall - RESERVED_AFTER
    seen, start = [], 0
    for turn in range(count):
        length = FIRST_TURN << turn
        late = Late(due, "a", LARGE)
        first, last = (
            reserver(late, known, {}, now=NOW._replace(wall=NOW.wall + at)) for at in (start, start + length - 1)
        )
        assert first == last
        seen.append(first)
        start += length
    assert sorted(seen) == sorted(peer.worker for peer in known)
