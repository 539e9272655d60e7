"""Room: what may be claimed is what is free, and what measured run times say will be."""

from __future__ import annotations

from types import SimpleNamespace

from angelica.clock import MILLISECOND, SECOND
from angelica.runtime.room import AHEAD_CAP, BATCH, Room

ALL = frozenset({"async", "thread"})


def executor(kind, slots, load=0):
    return SimpleNamespace(kind=kind, slots=slots, load=lambda: load)


def test_nothing_is_claimed_ahead_before_a_run_time_is_known():
    room = Room([executor("async", 10, 4), executor("thread", 3)])
    assert room.now(ALL) == ((("async", 6), ("thread", 3)), 9)
    assert room.now(frozenset({"thread"})) == ((("thread", 3),), 3)


def test_a_full_executor_has_no_room():
    room = Room([executor("async", 4, 4), executor("thread", 2, 5)])
    assert room.now(ALL) == ((), 0)


def test_quick_tasks_are_claimed_ahead_and_slow_ones_are_not():
    room = Room([executor("async", 4, 4), executor("thread", 4, 4)])
    room.record("async", 1 * MILLISECOND)
    room.record("thread", 1 * SECOND)
    assert room.now(ALL) == ((("async", 200),), 200)


def test_claiming_ahead_is_bounded():
    room = Room([executor("async", 1_000)])
    room.record("async", 0)
    assert room.ahead("async", 1_000) == AHEAD_CAP
    assert room.now(ALL) == ((("async", BATCH),), BATCH)


def test_the_mean_follows_slowly_and_can_be_forgotten():
    room = Room([executor("async", 10)])
    room.record("async", 1 * MILLISECOND)
    before = room.ahead("async", 10)
    room.record("async", 1 * SECOND)
    assert 0 < room.ahead("async", 10) < before
    room.misjudged("async")
    assert room.ahead("async", 10) == 0


def test_the_cap_bounds_all_kinds_together():
    room = Room([executor("async", 10, 1), executor("thread", 10, 1)], cap=4)
    claimable, wanted = room.now(ALL)
    assert claimable == (("async", 3), ("thread", 3))
    assert wanted == 2
    assert Room([executor("async", 10, 4), executor("thread", 10)], cap=4).now(ALL)[1] == 0


def test_free_slots_are_what_nothing_is_claimed_ahead_for():
    room = Room([executor("async", 10, 4), executor("thread", 3, 5)])
    room.record("async", 1 * MILLISECOND)
    assert room.slots() == {"async": 6, "thread": -2}
    capped = Room([executor("async", 10, 1), executor("thread", 10, 1)], cap=4, waiting=lambda: 1)
    assert capped.slots() == {"async": 1, "thread": 1}
