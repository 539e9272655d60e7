"""Lanes: tasks that need more of a worker than a free slot; who sees them, in which order, and when they are held."""

from __future__ import annotations

from dataclasses import replace

from angelica.clock import MINUTE, SECOND
from angelica.domain.outcome import Failed, Released
from angelica.domain.reasons import NO_CAPABLE_WORKER
from angelica.domain.task import State, TaskError
from tests.storage.world import LEASE, START, World, ids, new, worker_info

GPU = {"gpu": "true"}
BOTH = {"gpu": "true", "zone": "a"}


def held(world: World, *names: str) -> list[str | None]:
    return [world.get(name).held for name in names]


def park(world: World, limit: int = 1000) -> int:
    return world.run(world.storage.park_unmet(now=world.now, limit=limit))


def test_what_a_task_requires_is_kept(world: World) -> None:
    task = new("a", requires=BOTH, labels={"team": "x"})
    world.submit(task)
    assert world.get("a").spec == task
    (claimed,) = world.claim(labels=BOTH)
    assert claimed.spec == task
    assert world.submit_one(task).status == "existing"


def test_only_a_worker_that_has_all_of_it_gets_it(world: World) -> None:
    world.submit(new("plain"), new("gpu", requires=GPU), new("both", requires=BOTH))
    assert ids(world.claim(labels={"zone": "a"})) == ["plain"]
    assert world.claim(labels={"gpu": "false", "zone": "a"}) == ()
    assert ids(world.claim(labels=GPU)) == ["gpu"]
    assert world.claim(labels={**GPU, "zone": "b"}) == ()
    assert ids(world.claim(labels={**BOTH, "more": "x"})) == ["both"]


def test_that_holds_for_one_named_queue_too(world: World) -> None:
    world.submit(new("plain", queue="q"), new("gpu", queue="q", requires=GPU))
    room = (("async", 10),)
    assert ids(world.claim(room=room, queues=("q",))) == ["plain"]
    assert world.claim(room=room, queues=("q",)) == ()
    assert ids(world.claim(room=room, queues=("q",), labels=GPU)) == ["gpu"]


def test_lanes_share_the_room_of_their_kind(world: World) -> None:
    world.submit(*[new(f"p{n}") for n in range(3)], *[new(f"r{n}", requires=GPU) for n in range(3)])
    world.submit(new("thread", executor="thread", requires=GPU))
    claimed = world.claim(10, room=(("async", 4), ("thread", 5)), labels=GPU)
    assert sorted(task.spec.executor for task in claimed) == ["async"] * 4 + ["thread"]
    assert len(world.claim(10, room=(("async", 4),), labels=GPU)) == 2


def test_inside_a_queue_levels_of_all_lanes_rank_together(world: World) -> None:
    world.submit(new("low"), new("high", priority=5, requires=GPU), new("middle", priority=3))
    world.submit(new("older", run_at=START - 5, requires=BOTH))
    assert ids(world.claim(labels=BOTH)) == ["high", "middle", "older", "low"]


def test_a_lane_that_waits_gains_as_any_level_does(world: World) -> None:
    world.submit(new("gpu", run_at=START - 2 * MINUTE, requires=GPU), new("now", priority=1))
    assert ids(world.claim(1, labels=GPU)) == ["gpu"]


def test_queues_share_evenly_what_they_have_for_this_worker(world: World) -> None:
    world.submit(*[new(f"a{n}", queue="a", requires=BOTH) for n in range(9)])
    world.submit(*[new(f"b{n}", queue="b", requires=GPU) for n in range(9)], new("a", queue="a", requires=GPU))
    claimed = world.claim(6, labels=GPU)
    assert sorted(task.queue for task in claimed) == ["a"] + ["b"] * 5


def test_a_retry_a_delay_and_a_release_stay_in_their_lane(world: World) -> None:
    world.submit(new("a", requires=GPU), new("later", run_at=START + SECOND, requires=GPU))
    (a,) = world.claim(labels=GPU)
    world.end(a, Released())
    assert world.claim() == ()
    (a,) = world.claim(labels=GPU)
    world.end(a, Failed(TaskError("exception"), retry_after=0))
    world.clock.advance(SECOND)
    world.run(world.storage.promote_due(now=world.now))
    assert world.claim() == ()
    assert sorted(ids(world.claim(labels=GPU))) == ["a", "later"]


def test_what_is_ahead_is_counted_in_the_lane(world: World) -> None:
    world.submit(new("p"), new("r1", requires=GPU), new("r2", requires=GPU), new("o", requires=BOTH))
    assert world.run(world.storage.count_ahead(world.get("r2"))) == 1


def test_one_that_lapses_leaves_its_room_to_the_next(world: World) -> None:
    world.submit(new("over", requires=GPU, run_at=START - 9, expires_at=START - 1), new("next", requires=GPU))
    assert ids(world.claim(1, labels=GPU)) == ["next"]
    assert world.get("over").state is State.CANCELLED


# -- held for want of a capable worker --------------------------------------------------------------------------------


def test_what_no_live_worker_may_take_is_held(world: World) -> None:
    world.beat("w1", labels={"zone": "a"})
    world.submit(new("plain"), new("gpu", requires=GPU), new("zone", requires={"zone": "a"}))
    assert park(world) == 1
    assert held(world, "plain", "gpu", "zone") == [None, "no_capable_worker", None]
    assert park(world) == 0
    assert world.run(world.storage.count_held()) == {("no_capable_worker", "f"): 1}
    assert world.claim(labels=BOTH) == (world.get("plain"), world.get("zone"))


def test_what_requires_nothing_is_never_held(world: World) -> None:
    world.submit(new("a"), new("b", executor="thread"))
    assert park(world) == 0
    assert len(world.claim()) == 2


def test_a_capable_worker_frees_it(world: World) -> None:
    world.submit(new("gpu", requires=GPU), new("both", requires=BOTH))
    assert park(world) == 2
    world.beat("w1", labels={"zone": "a"})
    assert held(world, "gpu", "both") == ["no_capable_worker"] * 2
    world.beat("w2", labels=GPU)
    assert held(world, "gpu", "both") == [None, "no_capable_worker"]
    assert ids(world.claim(labels=GPU)) == ["gpu"]
    world.beat("w3", labels=BOTH)
    assert ids(world.claim(labels=BOTH)) == ["both"]
    assert world.counts() == {("default", "running"): 2}


def test_a_worker_whose_lease_is_over_or_that_drains_is_none(world: World) -> None:
    world.beat("w1", labels=GPU)
    world.submit(new("a", requires=GPU))
    assert park(world) == 0
    world.run(world.storage.control_workers(["w1"], "drain", now=world.now))
    assert park(world) == 1
    world.beat("w1", labels=GPU)
    assert held(world, "a") == ["no_capable_worker"]
    world.run(world.storage.control_workers(["w1"], "run", now=world.now))
    world.beat("w1", labels=GPU)
    assert held(world, "a") == [None]
    world.clock.advance(LEASE)
    assert park(world) == 1


def test_no_more_than_so_many_are_held_at_once_the_first_of_each_lane(world: World) -> None:
    world.submit(new("a", requires=GPU), new("b", requires=GPU, priority=1), new("c", requires=GPU, run_at=START - 1))
    assert park(world, 2) == 2
    assert held(world, "a", "b", "c") == [None, "no_capable_worker", "no_capable_worker"]
    assert park(world, 2) == 1


def test_a_held_one_can_be_cancelled(world: World) -> None:
    world.submit(new("a", requires=GPU))
    park(world)
    assert world.cancel("a") == ("cancelled",)
    world.beat("w1", labels=GPU)
    assert world.claim(labels=GPU) == ()


# -- functions that a worker does not know ----------------------------------------------------------------------------


def test_a_freed_task_is_seen_only_by_workers_that_know_its_function(world: World) -> None:
    world.submit(new("a", "g", requires=GPU), new("b", "g"), new("c", "f"))
    for task in world.claim(labels=GPU):
        world.end(task, Released(held="unknown_function"))
    world.beat("new", functions=("f", "g"), labels=GPU)
    assert ids(world.claim(functions=("f",), labels=GPU)) == ["c"]
    assert ids(world.claim(functions=("f", "g"))) == ["b"]
    assert ids(world.claim(functions=("f", "g"), labels=GPU)) == ["a"]


def test_it_is_held_again_once_nobody_knows_it(world: World) -> None:
    world.submit(new("a", "g"))
    (task,) = world.claim()
    world.end(task, Released(held="unknown_function"))
    world.beat("new", functions=("g",))
    assert park(world) == 0
    world.clock.advance(LEASE)
    world.beat("old", functions=("f",))
    assert park(world) == 1
    assert held(world, "a") == ["unknown_function"]
    world.beat("newer", functions=("g",))
    assert ids(world.claim(functions=("g",))) == ["a"]


def test_a_repeated_submit_of_it_is_the_same(world: World) -> None:
    task = new("a", "g")
    world.submit(task)
    world.end(world.claim()[0], Released(held="unknown_function"))
    world.beat("new", functions=("g",))
    assert world.get("a").spec == task
    assert world.submit_one(task).status == "existing"


def test_a_worker_that_drains_frees_nothing(world: World) -> None:
    world.submit(new("a", "g"))
    world.end(world.claim()[0], Released(held="unknown_function"))
    world.beat("w1")
    world.run(world.storage.control_workers(["w1"], "drain", now=world.now))
    world.beat("w1", functions=("g",))
    assert held(world, "a") == ["unknown_function"]


# -- workers that take only tasks with certain labels -----------------------------------------------------------------


def test_a_worker_that_selects_takes_only_tasks_with_all_these_labels(world: World) -> None:
    both = {"team": "x", "kind": "a"}
    world.submit(new("none"), new("x", labels={"team": "x"}), new("y", labels={"team": "y"}), new("both", labels=both))
    assert ids(world.claim(select=both)) == ["both"]
    assert ids(world.claim(select={"team": "x"})) == ["x"]
    assert world.claim(select={"team": "x"}) == ()
    assert sorted(ids(world.claim())) == ["none", "y"]


def test_its_order_and_its_shares_are_those_of_what_it_may_take(world: World) -> None:
    mine = {"team": "x"}
    world.submit(*[new(f"a{n}", queue="a") for n in range(9)], new("a", queue="a", labels=mine))
    world.submit(*[new(f"b{n}", queue="b", labels=mine, priority=n) for n in range(9)])
    world.submit(new("old", queue="b", run_at=START - 3 * MINUTE, priority=9))
    assert ids(world.claim(4, select=mine)) == ["a", "b8", "b7", "b6"]
    assert ids(world.claim(2, queues=("b",), room=(("async", 9),), select=mine)) == ["b5", "b4"]


def test_only_queues_with_something_for_it_have_their_turn(world: World) -> None:
    mine = {"team": "x"}
    world.submit(*(new(queue, queue=queue, labels=mine) for queue in "bc"), new("other", queue="a"))
    assert ids(world.claim(select=mine, turn=0)) == ["b", "c"]
    world.submit(*(new(f"{queue}2", queue=queue, labels=mine) for queue in "bc"))
    assert ids(world.claim(select=mine, turn=3)) == ["c2", "b2"]


def test_only_queues_with_something_for_it_have_their_turn_under_limits_too(world: World) -> None:
    world.limit("queue:a", max_running=5)
    test_only_queues_with_something_for_it_have_their_turn(world)


def test_it_needs_the_labels_of_workers_all_the_same(world: World) -> None:
    mine = {"team": "x"}
    world.submit(new("gpu", requires=GPU, labels=mine), new("over", labels=mine, expires_at=START - 1))
    assert world.claim(select=mine) == ()
    assert world.get("over").state is State.CANCELLED
    assert ids(world.claim(select=mine, labels=GPU)) == ["gpu"]


def test_a_worker_that_comes_frees_so_many_at_a_time_whatever_holds_them(world: World) -> None:
    world.submit(*(new(f"gpu{n}", requires=GPU) for n in range(2)), *(new(f"both{n}", requires=BOTH) for n in range(2)))
    assert park(world) == 4
    names = ("both0", "both1", "gpu0", "gpu1")
    assert world.beat("w2", labels=BOTH, limit=3).more
    # by lane: that of gpu=true alone comes before the one with a zone
    assert held(world, *names) == [None, NO_CAPABLE_WORKER, None, None]
    info = replace(worker_info("w2"), labels=BOTH)
    assert world.run(world.storage.free_held(info, limit=3)) == 1
    assert held(world, *names) == [None] * 4
