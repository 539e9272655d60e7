"""What operators ask of workers: written by anybody, read by the worker with its next beat."""

from __future__ import annotations

from angelica.domain.task import State
from angelica.storage.protocol import Control, ControlStatus, TaskFilter, Topic
from tests.storage.world import World, ids, new


def control(world: World, wanted: Control, *workers: str) -> tuple[ControlStatus, ...]:
    return world.run(world.storage.control_workers(workers, wanted, now=world.now))


def test_a_worker_runs_until_it_is_told_otherwise(world: World) -> None:
    assert world.beat("w1").control == "run"
    assert control(world, "drain", "w1") == ("done",)
    assert world.beat("w1").control == "drain"
    assert world.beat("w1").control == "drain"
    assert control(world, "run", "w1") == ("done",)
    assert world.beat("w1").control == "run"


def test_what_was_asked_is_shown(world: World) -> None:
    world.beat("w1")
    world.beat("w2")
    control(world, "drain", "w2")
    found = world.run(world.storage.list_workers())
    assert [(row.info.id, row.control) for row in found] == [("w1", "run"), ("w2", "drain")]


def test_a_worker_that_is_not_registered_is_missing(world: World) -> None:
    world.start("a", worker="w1")  # it claims, and has not beaten yet
    assert control(world, "drain", "w1", "none") == ("missing", "missing")
    assert world.beat("w1").control == "run"


def test_many_are_answered_position_by_position(world: World) -> None:
    world.beat("w1")
    world.beat("w2")
    assert control(world, "drain", "w2", "none", "w1", "w2") == ("done", "missing", "done", "done")
    assert control(world, "drain") == ()


def test_a_stop_stands(world: World) -> None:
    world.beat("w1")
    assert control(world, "stop", "w1") == ("done",)
    assert control(world, "drain", "w1") == ("stopping",)
    assert control(world, "run", "w1") == ("stopping",)
    assert control(world, "stop", "w1") == ("done",)
    assert world.beat("w1").control == "stop"


def test_it_ends_with_the_worker(world: World) -> None:
    world.beat("w1")
    control(world, "stop", "w1")
    world.run(world.storage.end_worker("w1", now=world.now))
    assert world.beat("w1").control == "run"


def test_it_stays_while_the_worker_holds_tasks(world: World) -> None:
    world.beat("w1")
    world.start("a")
    control(world, "drain", "w1")
    world.run(world.storage.end_worker("w1", now=world.now))
    assert world.beat("w1").control == "drain"


def test_only_what_is_written_rings(world: World) -> None:
    world.beat("w1")
    before = world.storage.mark(Topic.CONTROL)
    control(world, "drain", "none")
    assert world.storage.mark(Topic.CONTROL) == before
    control(world, "drain", "w1")
    assert world.storage.mark(Topic.CONTROL) > before


def test_tasks_are_found_by_who_runs_them(world: World) -> None:
    world.submit(new("a"), new("b"), new("c"))
    a, _ = world.claim(2, worker="w1")
    world.claim(1, worker="w2")
    world.end(a)
    assert world.found(worker="w1", states=frozenset({State.RUNNING})) == ["b"]
    assert world.found(worker="w1") == ["a", "b"]
    where = TaskFilter(worker="w2", states=frozenset({State.RUNNING}))
    assert ids(world.run(world.storage.list_tasks(where)).items) == ["c"]
