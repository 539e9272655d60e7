"""Placement: tasks that say what they need of a machine; who may have them now, and that none is passed for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from angelica.clock import MINUTE, SECOND
from angelica.domain.outcome import Failed, Released
from angelica.domain.placement import FIRST_TURN, RESERVED_AFTER, Late, Space
from angelica.domain.resources import Amount, Capacity
from angelica.domain.task import EXECUTORS, NewTask, State, TaskError
from angelica.storage.protocol import Beat, Claim, Exchanged
from tests.storage.world import LEASE, START, World, ids, new, worker_info

GIB = 1 << 30
FOUR = Capacity(4.0, 8 * GIB)
EMPTY = Space(FOUR)
HALF = Space(FOUR, Amount(2000, 4 * GIB))


def cpus(count: float) -> dict[str, float]:
    return {"cpu": count}


def beat(world: World, worker: str, size: Capacity = FOUR, **more: Any) -> None:
    now = world.now
    info = replace(worker_info(worker, boot=now.boot), cpu=size.cpu, memory=size.memory, **more)
    world.run(world.storage.heartbeat(Beat(info, now.tick + LEASE, now.wall), now=now))


def park(world: World) -> int:
    return world.run(world.storage.park_unmet(now=world.now, limit=1000))


def held(world: World, *names: str) -> list[str | None]:
    return [world.get(name).held for name in names]


def ask(world: World, worker: str = "w1", space: Space = EMPTY, **more: Any) -> Exchanged:
    fields = {"room": tuple((kind, 10) for kind in EXECUTORS), **more}
    return world.exchange(claim=Claim(worker, 10, space=space, **fields))


# -- what fits --------------------------------------------------------------------------------------------------------


def test_a_claim_takes_as_many_as_fit_beside_what_is_taken(world: World) -> None:
    world.submit(*[new(f"a{n}", resources=cpus(1)) for n in range(9)])
    assert ids(world.claim(space=HALF)) == ["a0", "a1"]
    assert ids(world.claim(space=EMPTY)) == ["a2", "a3", "a4", "a5"]
    assert world.claim(space=Space(FOUR, Amount(3500, 0))) == ()
    assert len(world.claim()) == 3


def test_what_a_task_needs_is_kept_and_a_task_without_needs_takes_nothing(world: World) -> None:
    task = new("a", resources={"cpu": 0.5, "memory": 3 * GIB + 1}, requires={"gpu": "true"})
    world.submit(task, new("plain"))
    assert ids(world.claim(space=Space(FOUR, Amount(4000, 8 * GIB)), labels={"gpu": "true"})) == ["plain"]
    (claimed,) = world.claim(space=EMPTY, labels={"gpu": "true"})
    assert claimed.spec == task == world.get("a").spec


def test_it_is_the_sum_of_all_lanes_that_has_to_fit(world: World) -> None:
    world.submit(new("three", resources=cpus(3), priority=2), new("two", resources=cpus(2), priority=1))
    world.submit(new("one", resources=cpus(1)), new("other", resources=cpus(1), executor="thread", queue="q"))
    assert ids(world.claim(space=EMPTY)) == ["three", "one"]
    assert ids(world.claim(space=EMPTY)) == ["two", "other"]


def test_each_part_counts_by_itself(world: World) -> None:
    world.submit(new("memory", resources={"memory": 6 * GIB}), new("cpu", resources=cpus(3)))
    assert ids(world.claim(space=HALF)) == []
    assert ids(world.claim(space=Space(FOUR, Amount(1000, 4 * GIB)))) == ["cpu"]
    assert ids(world.claim(space=Space(Capacity(4.0, 0), Amount(4000, 0)))) == ["memory"]


def test_queues_share_what_fits(world: World) -> None:
    world.submit(*[new(f"{queue}{n}", queue=queue, resources=cpus(1)) for queue in "ab" for n in range(5)])
    first = world.claim(4, space=EMPTY)
    assert sorted(task.queue for task in first) == ["a", "a", "b", "b"]


def test_what_says_what_it_needs_is_taken_for_a_free_slot_only(world: World) -> None:
    world.submit(*[new(f"a{n}", resources=cpus(0.1)) for n in range(5)], *[new(f"p{n}") for n in range(5)])
    claimed = world.claim(space=Space(FOUR, slots={"async": 2}))
    assert sorted(ids(claimed)) == ["a0", "a1", *[f"p{n}" for n in range(5)]]
    assert world.claim(space=Space(FOUR, slots={"async": 0, "thread": 5})) == ()


def test_one_that_lapses_leaves_its_room_to_the_next(world: World) -> None:
    world.submit(new("over", resources=cpus(4), expires_at=START - 1), new("next", resources=cpus(4), priority=-1))
    assert ids(world.claim(space=EMPTY)) == ["next"]
    assert world.get("over").state is State.CANCELLED


def test_a_retry_and_a_release_need_the_same(world: World) -> None:
    world.submit(new("a", resources=cpus(3)))
    world.end(world.claim(space=EMPTY)[0], Released())
    assert world.claim(space=HALF) == ()
    world.end(world.claim(space=EMPTY)[0], Failed(TaskError("exception"), retry_after=0))
    assert world.claim(space=HALF) == ()
    assert ids(world.claim(space=EMPTY)) == ["a"]


def test_limits_and_tenants_do_not_change_what_fits(world: World) -> None:
    world.limit("queue:q", max_running=3)
    world.declare("queue:fair", fair="tenant")
    world.submit(*[new(f"a{n}", queue="q", resources=cpus(1)) for n in range(5)], new("p", queue="q"))
    assert ids(world.claim(space=HALF, queues=("q",))) == ["p", "a0", "a1"]
    tenants = [new(f"{t}{n}", queue="fair", resources=cpus(1), headers={"tenant": t}) for t in "xy" for n in range(5)]
    world.submit(*tenants)
    for n in range(2):
        assert sorted(ids(world.claim(space=HALF, queues=("fair",)))) == [f"x{n}", f"y{n}"]


# -- larger than every live worker ------------------------------------------------------------------------------------


def test_what_is_larger_than_every_live_worker_is_held_until_one_is_large_enough(world: World) -> None:
    beat(world, "w1")
    world.submit(new("huge", resources=cpus(16)), new("fits", resources=cpus(4)), new("plain"))
    assert park(world) == 1
    assert held(world, "huge", "fits", "plain") == ["no_worker_fits", None, None]
    assert world.run(world.storage.count_held()) == {("no_worker_fits", "f"): 1}
    beat(world, "w1")
    assert held(world, "huge") == ["no_worker_fits"]
    beat(world, "w2", Capacity(16.0, GIB))
    assert held(world, "huge") == [None]
    assert ids(world.claim(space=Space(Capacity(16.0, GIB)), worker="w2")) == ["plain", "huge"]
    assert world.get("huge").attempt == 1


def test_a_large_worker_that_comes_frees_so_many_at_a_time(world: World) -> None:
    beat(world, "w1")
    world.submit(
        *(new(f"a{n}", resources=cpus(8)) for n in range(2)), *(new(f"b{n}", resources=cpus(9)) for n in range(2))
    )
    assert park(world) == 4
    large = replace(worker_info("w2", boot=world.now.boot), cpu=16.0, memory=GIB)
    assert world.run(world.storage.free_held(large, limit=3)) == 3
    assert held(world, "a0", "a1", "b0", "b1").count("no_worker_fits") == 1
    assert world.run(world.storage.free_held(large, limit=3)) == 1
    assert held(world, "a0", "a1", "b0", "b1") == [None] * 4


def test_it_is_held_again_when_the_last_large_one_goes(world: World) -> None:
    beat(world, "small")
    beat(world, "large", Capacity(16.0, GIB))
    world.submit(new("huge", resources=cpus(16)))
    assert park(world) == 0
    assert world.claim(space=EMPTY, worker="small") == ()
    world.run(world.storage.end_worker("large", now=world.now))
    assert park(world) == 1
    assert held(world, "huge") == ["no_worker_fits"]
    assert world.cancel("huge") == ("cancelled",)


def test_without_any_worker_nothing_is_too_large(world: World) -> None:
    world.submit(new("huge", resources=cpus(16)))
    assert park(world) == 0


def test_a_worker_without_that_kind_of_executor_is_none(world: World) -> None:
    beat(world, "large", Capacity(16.0, GIB), capacity={"async": 10})
    world.submit(new("a", executor="command", resources=cpus(8)))
    assert park(world) == 0
    beat(world, "small", capacity={"command": 1})
    assert park(world) == 1
    beat(world, "large", Capacity(16.0, GIB), capacity={"async": 10})
    assert held(world, "a") == ["no_worker_fits"]
    beat(world, "able", Capacity(8.0, GIB), capacity={"command": 1})
    assert held(world, "a") == [None]


def test_labels_come_first(world: World) -> None:
    beat(world, "w1", Capacity(16.0, GIB))
    world.submit(new("a", resources=cpus(8), requires={"gpu": "true"}))
    park(world)
    assert held(world, "a") == ["no_capable_worker"]
    beat(world, "w2", labels={"gpu": "true"})
    assert held(world, "a") == ["no_capable_worker"]
    beat(world, "w3", Capacity(8.0, GIB), labels={"gpu": "true"})
    assert held(world, "a") == [None]


# -- nobody is passed for ever ----------------------------------------------------------------------------------------


def now(task_id: str, world: World, **more: Any) -> NewTask:
    return new(task_id, run_at=world.now.wall, **more)


def late_one(world: World, *then: str, capacity: Capacity = FOUR, **more: Any) -> Late:
    """Submit one that needs a whole worker, and wait until it is late; `then` are the workers that live then."""
    world.submit(new("large", resources=cpus(4), **more))
    world.clock.advance(RESERVED_AFTER)
    for name in then:
        beat(world, name, capacity)
    return Late(START, more.get("queue", "default"), "async;@cpu=4000")


def test_small_ones_pass_a_large_one_for_thirty_seconds(world: World) -> None:
    beat(world, "w1")
    world.submit(new("large", resources=cpus(4)), new("small", resources=cpus(1)))
    world.clock.advance(RESERVED_AFTER - 1)
    beat(world, "w1")
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["small"], None)


def test_then_its_worker_takes_no_other_with_needs(world: World) -> None:
    late = late_one(world, "w1")
    small = [now(f"s{n}", world, resources={"memory": 1}, queue="q") for n in range(3)]
    world.submit(*small, new("plain"))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["plain"], late)
    reply = ask(world)
    assert sorted(ids(reply.claimed)) == ["large", "s0", "s1", "s2"]
    assert reply.kept is None


def test_where_it_fits_others_leave_it_its_room(world: World) -> None:
    late = late_one(world, "w1", capacity=Capacity(6.0, 0))
    world.submit(*[now(f"s{n}", world, queue="a", resources=cpus(1)) for n in range(6)])
    seen = []
    for taken in (0, 1000, 2000):
        claim = Claim("w1", 1, (("async", 9),), space=Space(Capacity(6.0, 0), Amount(taken)))
        reply = world.exchange(claim=claim)
        seen.append((ids(reply.claimed), reply.kept))
    assert seen == [(["s0"], late), (["s1"], late), (["large"], None)]


def test_only_one_worker_keeps_itself_free_and_another_follows_it_when_it_dies(world: World) -> None:
    workers = ["w1", "w2", "w3"]
    late = late_one(world, *workers)
    keeping = [name for name in workers if ask(world, name, HALF).kept == late]
    assert len(keeping) == 1
    world.run(world.storage.end_worker(keeping[0], now=world.now))
    left = [name for name in workers if name not in keeping]
    assert len([name for name in left if ask(world, name, HALF).kept == late]) == 1


def test_each_gets_its_turn(world: World) -> None:
    late = late_one(world)
    seen = []
    for _ in range(2):
        for name in ("w1", "w2"):
            beat(world, name)
        seen += [name for name in ("w1", "w2") if ask(world, name, HALF).kept == late]
        world.clock.advance(FIRST_TURN)
    assert sorted(seen) == ["w1", "w2"]


def test_only_a_worker_that_may_take_it_is_asked_to(world: World) -> None:
    gpu = {"gpu": "true"}
    world.submit(new("large", resources=cpus(4), requires=gpu))
    world.clock.advance(RESERVED_AFTER)
    for n in range(5):
        beat(world, f"other{n}", queues=("q",), labels=gpu)
        beat(world, f"small{n}", Capacity(2.0, 0), labels=gpu)
        beat(world, f"plain{n}")
        beat(world, f"picky{n}", select={"team": "x"}, labels=gpu)
    beat(world, "able", labels=gpu)
    assert ask(world, "able", HALF, labels=gpu).kept is not None
    assert ask(world, "plain0", HALF).kept is None


def test_nobody_keeps_itself_free_for_one_that_may_not_begin_anyway(world: World) -> None:
    late_one(world, "w1", queue="paused")
    world.limit("queue:paused", paused=True)
    world.submit(now("small", world, resources=cpus(1)))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["small"], None)
    world.limit("queue:paused", paused=None)
    assert ask(world, space=HALF).kept is not None


def test_it_is_kept_free_in_a_queue_with_a_limit_too(world: World) -> None:
    world.limit("queue:q", max_running=5)
    late = late_one(world, "w1", queue="q")
    world.submit(now("small", world, queue="q", resources=cpus(1)), new("plain", queue="q"))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["plain"], late)
    assert ids(ask(world).claimed) == ["large"]


def test_it_is_the_first_in_line_of_those_that_fit_a_worker(world: World) -> None:
    beat(world, "w1")
    world.submit(new("huge", resources=cpus(64), run_at=START - MINUTE))
    world.submit(new("third", resources=cpus(4), run_at=START - 31 * SECOND))
    world.submit(new("second", resources=cpus(3), run_at=START - 32 * SECOND))
    assert ask(world, space=HALF).kept == Late(START - 32 * SECOND, "default", "async;@cpu=3000")
    world.submit(new("first", resources=cpus(4), run_at=START - 31 * SECOND, priority=1))
    assert ask(world, space=HALF).kept == Late(START - 31 * SECOND, "default", "async;@cpu=4000", 1)
    world.submit(new("other", resources=cpus(4), run_at=START - 40 * SECOND, queue="q"))
    assert ask(world, space=HALF).kept == Late(START - 40 * SECOND, "q", "async;@cpu=4000")


def test_what_has_its_turn_before_it_does_not_wait_for_it(world: World) -> None:
    late = late_one(world, "w1")
    world.submit(now("before", world, resources=cpus(1), priority=1), now("after", world, resources=cpus(1)))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["before"], late)
    world.clock.advance(MINUTE)  # by which the late one has gained a level
    beat(world, "w1")
    world.submit(now("next", world, resources=cpus(1), priority=1))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == (["next"], late)
    world.clock.advance(MINUTE)
    beat(world, "w1")
    world.submit(now("last", world, resources=cpus(1), priority=1))
    reply = ask(world, space=HALF)
    assert (ids(reply.claimed), reply.kept) == ([], late)
