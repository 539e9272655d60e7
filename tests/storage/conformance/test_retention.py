"""Deleting and pruning: only what has ended, with all that belongs to it."""

from __future__ import annotations

from angelica.clock import DAY, SECOND
from angelica.domain.outcome import Failed, Released
from angelica.domain.task import Policy, State, TaskError
from tests.storage.world import START, World, ids, line, new


def prune(world: World, limit: int = 1000) -> int:
    return world.run(world.storage.prune(now=world.now, limit=limit))


def delete(world: World, *task_ids: str) -> tuple[bool, ...]:
    return world.run(world.storage.delete_tasks(task_ids))


def test_only_ended_tasks_are_deleted(world: World) -> None:
    world.end(world.start("ended"))
    world.start("running")
    world.submit(new("queued"), new("later", run_at=START + 1))
    assert delete(world, "queued", "ended", "none", "running", "later", "ended") == (
        False,
        True,
        False,
        False,
        False,
        False,
    )
    assert world.find("ended") is None
    assert world.counts() == {("default", "queued"): 1, ("default", "running"): 1, ("default", "scheduled"): 1}


def test_logs_and_history_go_with_the_task(world: World) -> None:
    task = world.start("a", labels={"x": "1"})
    world.exchange([world.completion(task, Failed(TaskError("fail"), final=True))], journal=[line(task, 1)])
    assert len(world.run(world.storage.read_attempts("a"))) == 1
    delete(world, "a")
    world.start("a")
    assert world.run(world.storage.read_attempts("a")) == ()
    assert world.run(world.storage.read_logs("a")) == ()
    assert world.found(labels={"x": "1"}) == []


def test_a_deleted_id_is_free(world: World) -> None:
    world.end(world.start("a"))
    delete(world, "a")
    assert world.submit_one(new("a", "g")).status == "created"
    (task,) = world.claim()
    assert (task.attempt, task.function) == (1, "g")


def test_tasks_are_pruned_when_their_retention_has_passed(world: World) -> None:
    world.submit(new("short", policy=Policy(retention=SECOND)), new("long", policy=Policy(retention=DAY)))
    for task in world.claim():
        world.end(task)
    world.clock.advance(SECOND - 1)
    assert prune(world) == 0
    world.clock.advance(1)
    assert prune(world) == 1
    assert world.found() == ["long"]
    assert prune(world) == 0


def test_unfinished_tasks_are_never_pruned(world: World) -> None:
    world.submit(*[new(name, policy=Policy(retention=0)) for name in ("a", "b", "c")])
    a, b, _c = world.claim()
    world.end(a, Released())
    world.end(b, Failed(TaskError("exception"), retry_after=DAY))
    world.clock.advance(365 * DAY)
    assert prune(world) == 0
    assert world.found() == ["a", "b", "c"]


def test_pruning_is_bounded(world: World) -> None:
    world.submit(*[new(f"t{n}", policy=Policy(retention=0)) for n in range(5)])
    for task in world.claim():
        world.end(task)
    assert [prune(world, 2), prune(world, 2), prune(world, 2)] == [2, 2, 1]


def test_cancelled_tasks_are_pruned_too(world: World) -> None:
    world.submit(new("a", policy=Policy(retention=SECOND)))
    world.cancel("a")
    world.clock.advance(SECOND)
    assert prune(world) == 1


def test_workers_that_have_been_gone_for_a_day_are_pruned(world: World) -> None:
    world.beat("idle")
    world.beat("busy")
    world.start("a", worker="busy")
    world.clock.advance(DAY - 1)
    world.beat("alive")
    prune(world)
    assert len(world.run(world.storage.list_workers())) == 3
    world.clock.advance(1)
    prune(world)
    assert [row.info.id for row in world.run(world.storage.list_workers())] == ["alive", "busy"]


def test_a_deleted_task_that_is_submitted_again_is_not_pruned_by_its_former_end(world: World) -> None:
    world.end(world.start("a", policy=Policy(retention=SECOND)))
    delete(world, "a")
    world.submit(new("a", policy=Policy(retention=SECOND)))
    world.clock.advance(DAY)
    assert prune(world) == 0
    assert ids(world.claim()) == ["a"]
    assert world.get("a").state is State.RUNNING
