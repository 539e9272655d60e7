"""Tasks past `expires_at` or their deadline: cancelled at the claim, which then goes on."""

from __future__ import annotations

import pytest

from angelica.clock import DAY
from angelica.domain.outcome import Released
from angelica.domain.task import EXECUTORS, State
from angelica.storage.protocol import Claim
from tests.storage.world import START, World, ids, new


def claim(world: World, wanted: int = 9):
    return world.exchange(claim=Claim("w1", wanted, tuple((kind, wanted) for kind in EXECUTORS)))


@pytest.mark.parametrize(("field", "reason"), [("expires_at", "expired"), ("deadline", "deadline")])
def test_a_lapsed_task_is_cancelled_with_its_reason(world: World, field: str, reason: str) -> None:
    world.submit(new("a", **{field: START + 5}))
    world.clock.advance(5)
    reply = claim(world)
    assert reply.claimed == ()
    (task,) = reply.lapsed
    assert task == world.get("a")
    assert (task.state, task.attempt, task.finished_at) == (State.CANCELLED, 0, START + 5)
    assert task.error is not None
    assert (task.error.reason, task.error.attempt) == (reason, 0)
    assert world.counts() == {("default", "cancelled"): 1}


def test_a_moment_before_it_has_not_lapsed(world: World) -> None:
    world.submit(new("a", expires_at=START + 5, deadline=START + 5))
    world.clock.advance(4)
    assert ids(claim(world).claimed) == ["a"]


def test_expiry_is_named_before_the_deadline(world: World) -> None:
    world.submit(new("a", expires_at=START, deadline=START))
    (task,) = claim(world).lapsed
    assert task.error is not None
    assert task.error.reason == "expired"


def test_the_claim_goes_on_until_it_is_filled(world: World) -> None:
    world.submit(*[new(f"a{n}", expires_at=START) for n in range(5)], new("b1"), new("b2"), new("b3"))
    reply = claim(world, 2)
    assert ids(reply.claimed) == ["b1", "b2"]
    assert ids(reply.lapsed) == ["a0", "a1", "a2", "a3", "a4"]


def test_it_goes_on_over_queues(world: World) -> None:
    world.submit(
        *[new(f"a{n}", queue="a", expires_at=START) for n in range(3)],
        new("a9", queue="a"),
        *[new(f"b{n}", queue="b") for n in range(4)],
    )
    assert sorted(ids(world.claim(4))) == ["a9", "b0", "b1", "b2"]


def test_only_what_the_claim_would_have_taken_lapses(world: World) -> None:
    world.submit(new("a"), new("b", expires_at=START))
    reply = claim(world, 1)
    assert ids(reply.claimed) == ["a"]
    assert world.get("b").state is State.QUEUED


def test_a_task_that_began_before_may_lapse_on_its_way_back(world: World) -> None:
    task = world.start("a", expires_at=START + 1)
    world.end(task, Released())
    world.clock.advance(1)
    (lapsed,) = claim(world).lapsed
    assert (lapsed.state, lapsed.attempt) == (State.CANCELLED, 1)
    assert lapsed.error is not None
    assert lapsed.error.attempt == 1


def test_a_lapsed_task_is_kept_for_its_retention(world: World) -> None:
    world.submit(new("a", expires_at=START))
    claim(world)
    world.clock.advance(7 * DAY - 1)
    assert world.run(world.storage.prune(now=world.now)) == 0
    world.clock.advance(1)
    assert world.run(world.storage.prune(now=world.now)) == 1
