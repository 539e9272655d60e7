"""Scheduled tasks: made ready when they are due, oldest first, bounded."""

from __future__ import annotations

from angelica.clock import SECOND
from angelica.domain.outcome import Snoozed
from angelica.domain.task import State
from angelica.storage.protocol import Promoted
from tests.storage.world import START, World, ids, new


def promote(world: World, limit: int = 1000) -> Promoted:
    return world.run(world.storage.promote_due(now=world.now, limit=limit))


def test_nothing_is_due(world: World) -> None:
    assert promote(world) == Promoted(0, None)
    world.submit(new("a", run_at=START + 9), new("b", run_at=START + 5))
    assert promote(world) == Promoted(0, START + 5)


def test_a_due_task_becomes_ready(world: World) -> None:
    world.submit(new("a", run_at=START + 5), new("b", run_at=START + 6))
    world.clock.advance(5)
    assert promote(world) == Promoted(1, START + 6)
    assert world.get("a").state is State.QUEUED
    assert world.counts() == {("default", "queued"): 1, ("default", "scheduled"): 1}
    assert ids(world.claim()) == ["a"]


def test_the_oldest_are_promoted_first(world: World) -> None:
    world.submit(*[new(f"t{n}", run_at=START + 9 - n) for n in range(4)])
    world.clock.advance(SECOND)
    assert promote(world, 3) == Promoted(3, START + 9)
    assert ids(world.claim()) == ["t3", "t2", "t1"]
    assert promote(world, 3) == Promoted(1, None)


def test_a_snoozed_task_comes_back_when_it_is_due(world: World) -> None:
    world.end(world.start("a"), Snoozed(START + SECOND))
    assert promote(world) == Promoted(0, START + SECOND)
    world.clock.advance(SECOND)
    assert promote(world) == Promoted(1, None)
    (task,) = world.claim()
    assert (task.attempt, task.run_at) == (2, START + SECOND)
