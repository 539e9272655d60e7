"""Claiming: how many, from where, in which order (laws 4, 5)."""

from __future__ import annotations

from angelica.clock import MINUTE, SECOND
from angelica.domain.outcome import Failed, Released
from angelica.domain.task import State, TaskError
from angelica.storage.protocol import Claim
from tests.storage.world import START, World, ids, new


def test_a_claimed_task_is_running_under_the_worker_as_a_new_attempt(world: World) -> None:
    world.submit(new("a"))
    (task,) = world.claim(worker="w7")
    assert (task.state, task.attempt, task.worker, task.started_at) == (State.RUNNING, 1, "w7", None)
    assert world.get("a") == task


def test_a_task_is_claimed_once(world: World) -> None:
    world.submit(new("a"))
    assert ids(world.claim()) == ["a"]
    assert world.claim(worker="w2") == ()


def test_an_attempt_number_never_repeats(world: World) -> None:
    world.submit(new("a"))
    for attempt in range(1, 5):
        (task,) = world.claim()
        assert task.attempt == attempt
        world.end(task, Released())


def test_a_new_attempt_has_not_begun(world: World) -> None:
    world.end(world.start("a"), Failed(TaskError("exception"), retry_after=0), started_at=START)
    assert world.get("a").started_at == START
    (task,) = world.claim()
    assert (task.attempt, task.started_at) == (2, None)
    assert world.get("a") == task


def test_the_order_is_priority_then_run_at_then_id(world: World) -> None:
    world.submit(
        new("low", priority=-1, run_at=START - 9),
        new("b"),
        new("a"),
        new("older", run_at=START - 1),
        new("z-high", priority=5),
    )
    assert ids(world.claim()) == ["z-high", "older", "a", "b", "low"]


def test_no_more_than_wanted(world: World) -> None:
    world.submit(*[new(f"t{n}") for n in range(5)])
    assert ids(world.claim(2)) == ["t0", "t1"]
    assert ids(world.claim(0)) == []
    assert ids(world.claim(9)) == ["t2", "t3", "t4"]


def test_a_level_gains_a_priority_for_each_minute_its_oldest_has_waited(world: World) -> None:
    world.submit(new("old", priority=0, run_at=START), new("new", priority=1, run_at=START + MINUTE))
    world.clock.advance(MINUTE)
    world.run(world.storage.promote_due(now=world.now))
    # 0 + 1 minute equals 1 + 0: the higher priority is still first.
    assert ids(world.claim(1)) == ["new"]
    world.submit(new("newer", priority=1, run_at=START + MINUTE))
    world.clock.advance(MINUTE - 1)
    assert ids(world.claim(1)) == ["newer"]
    world.submit(new("newest", priority=1, run_at=START + 2 * MINUTE - 1))
    world.clock.advance(1)
    world.run(world.storage.promote_due(now=world.now))
    assert ids(world.claim()) == ["old", "newest"]


def test_ageing_lifts_the_whole_level_and_not_single_tasks(world: World) -> None:
    world.submit(
        new("old", run_at=START - 10 * MINUTE),
        new("young", run_at=START - 1),
        new("high", priority=5, run_at=START - 2),
    )
    assert ids(world.claim()) == ["old", "young", "high"]


def test_only_the_named_queues(world: World) -> None:
    world.submit(new("a", queue="q1"), new("b", queue="q2"), new("c", queue="q3"))
    assert sorted(ids(world.claim(queues=("q1", "q3")))) == ["a", "c"]
    assert world.claim(queues=()) == ()
    assert world.claim(queues=("none",)) == ()


def test_queues_share_the_wanted_number(world: World) -> None:
    world.submit(*[new(f"{q}{n}", queue=q) for q in "abc" for n in range(9)])
    assert ids(world.claim(6, queues=("a", "b", "c"))) == ["a0", "a1", "b0", "b1", "c0", "c1"]


def test_what_one_queue_cannot_fill_goes_to_the_others(world: World) -> None:
    world.submit(new("a0", queue="a"), *[new(f"b{n}", queue="b") for n in range(9)])
    assert sorted(ids(world.claim(6, queues=("a", "b")))) == ["a0", "b0", "b1", "b2", "b3", "b4"]
    world.submit(new("c0", queue="c"))
    assert sorted(ids(world.claim(4, queues=("b", "c")))) == ["b5", "b6", "b7", "c0"]


def test_the_turn_says_which_queue_is_first(world: World) -> None:
    world.submit(*[new(f"{q}{n}", queue=q) for q in "abc" for n in range(3)])
    for turn, first in ((0, "a0"), (1, "b0"), (2, "c0"), (3, "a1")):
        assert ids(world.claim(1, queues=("a", "b", "c"), turn=turn)) == [first]


def test_without_names_every_queue_is_served_in_order_of_name(world: World) -> None:
    world.submit(*[new(f"{q}{n}", queue=q) for q in "cab" for n in range(2)])
    assert ids(world.claim(1)) == ["a0"]
    assert ids(world.claim(1, turn=1)) == ["b0"]
    assert sorted(ids(world.claim(9))) == ["a1", "b1", "c0", "c1"]


def test_room_is_by_kind_of_executor(world: World) -> None:
    world.submit(*[new(f"{kind}{n}", executor=kind) for kind in ("async", "thread") for n in range(4)])
    assert ids(world.claim(9, room=(("thread", 1), ("async", 2)))) == ["thread0", "async0", "async1"]
    assert ids(world.claim(3, room=(("async", 5), ("thread", 5)))) == ["async2", "async3", "thread1"]
    assert world.claim(9, room=(("process", 9), ("async", 9), ("thread", 0))) == ()


def test_a_held_task_is_passed_over(world: World) -> None:
    task = world.start("a")
    world.end(task, Released(held="unknown_function"))
    world.submit(new("b"))
    assert ids(world.claim()) == ["b"]
    assert world.get("a").held == "unknown_function"


def test_a_scheduled_task_is_not_claimed(world: World) -> None:
    world.submit(new("a", run_at=START + SECOND))
    world.clock.advance(2 * SECOND)
    assert world.claim() == ()


def test_exchange_ends_before_it_claims(world: World) -> None:
    task = world.start("a")
    world.submit(new("b"))
    reply = world.exchange([world.completion(task, Released())], Claim("w1", 9, (("async", 9),)))
    assert reply.accepted == (True,)
    assert ids(reply.claimed) == ["a", "b"]
    assert reply.claimed[0].attempt == 2
