"""The latest attempts of a function: which they are, in which order, and how far back a look goes."""

from __future__ import annotations

from typing import Any

from angelica.clock import SECOND
from angelica.domain.outcome import Cancelled, Failed, Outcome, Succeeded
from angelica.domain.task import Attempt, TaskError
from angelica.domain.usage import Usage
from tests.storage.world import START, World, new

TOOK = Usage(0.5, 1 << 20, "vmhwm")
ERROR = TaskError("timeout")


def run(world: World, name: str, outcome: Outcome, function: str = "f", **parts: Any) -> None:
    """Have a task end a second after the one before, and two after it began."""
    world.clock.advance(SECOND)
    world.submit(new(name, function, created_at=world.now.wall, **parts))
    (task,) = world.claim()
    began = world.now.wall
    world.clock.advance(2 * SECOND)
    assert world.end(task, outcome, started_at=began)


def recent(world: World, function: str = "f", **how: int) -> list[tuple[str, int, str]]:
    found = world.run(world.storage.recent_attempts(function, **how))
    assert all(attempt.started_at is not None for attempt in found)
    return [(attempt.task_id, attempt.attempt, attempt.outcome) for attempt in found]


def test_the_latest_end_comes_first_with_what_it_took(world: World) -> None:
    assert recent(world) == []
    run(world, "a", Succeeded("1", usage=TOOK))
    run(world, "b", Failed(ERROR, final=True, usage=TOOK))
    run(world, "other", Succeeded("1", usage=TOOK), "g")
    assert recent(world) == [("b", 1, "timeout"), ("a", 1, "succeeded")]
    assert recent(world, limit=1) == [("b", 1, "timeout")]
    last = world.run(world.storage.recent_attempts("f"))[1]
    assert last == Attempt("a", 1, "succeeded", "w1", START + SECOND, START + 3 * SECOND, None, TOOK)


def test_what_was_not_measured_is_found_among_the_last_tasks_of_the_store(world: World) -> None:
    for name in "abc":
        run(world, name, Succeeded("1"))
    run(world, "other", Succeeded("1"), "g")
    assert [name for name, _, _ in recent(world)] == ["c", "b", "a"]
    assert [name for name, _, _ in recent(world, among=3)] == ["c", "b"]
    assert [name for name, _, _ in recent(world, limit=1)] == ["c"]
    assert recent(world, among=0) == []


def test_measured_ones_go_first(world: World) -> None:
    run(world, "measured", Succeeded("1", usage=TOOK))
    for name in "abc":
        run(world, name, Succeeded("1"))
    assert [name for name, _, _ in recent(world)] == ["c", "b", "a", "measured"]
    assert [name for name, _, _ in recent(world, limit=2)] == ["c", "measured"]
    assert [name for name, _, _ in recent(world, limit=1)] == ["measured"]


def test_all_attempts_of_a_task_that_has_ended_are_in_it(world: World) -> None:
    world.submit(new("a"))
    for outcome in (Failed(ERROR, retry_after=0, usage=TOOK), Succeeded("1", usage=TOOK)):
        (task,) = world.claim()
        assert recent(world) == []  # it has not ended yet
        world.clock.advance(SECOND)
        world.end(task, outcome, started_at=world.now.wall - 1)
    run(world, "b", Cancelled(usage=TOOK))
    assert recent(world) == [("b", 1, "cancelled"), ("a", 2, "succeeded"), ("a", 1, "timeout")]


def test_what_never_began_is_not_in_it(world: World) -> None:
    world.submit(new("a"))
    world.cancel("a")
    world.end(world.start("b"), Cancelled())
    assert recent(world) == []
