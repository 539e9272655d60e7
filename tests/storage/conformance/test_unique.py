"""Unique keys: at most one task of a function with a key, while it lives or while it is kept."""

from __future__ import annotations

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Failed, Snoozed
from angelica.domain.task import Policy, State, TaskError, Unique
from tests.storage.world import START, World, new

LIVE = Unique("k")
RETAINED = Unique("k", "retained")
REJECT = Unique("k", on_conflict="reject")


def test_the_standing_task_is_answered(world: World) -> None:
    world.submit(new("a", unique=LIVE))
    item = world.submit_one(new("b", unique=LIVE))
    assert (item.task_id, item.status) == ("a", "existing")
    assert world.find("b") is None


def test_a_submit_that_asks_for_it_is_rejected(world: World) -> None:
    world.submit(new("a", unique=LIVE))
    item = world.submit_one(new("b", unique=REJECT))
    assert (item.task_id, item.status) == ("a", "unique_conflict")
    assert world.find("b") is None


def test_the_function_is_the_namespace(world: World) -> None:
    items = world.submit(new("a", "f", unique=LIVE), new("b", "g", unique=LIVE), new("c", "f")).items
    assert [item.status for item in items] == ["created"] * 3


def test_two_of_one_batch_collide(world: World) -> None:
    items = world.submit(new("a", unique=LIVE), new("b", unique=LIVE), new("c", unique=REJECT)).items
    assert [(item.task_id, item.status) for item in items] == [
        ("a", "created"),
        ("a", "existing"),
        ("a", "unique_conflict"),
    ]


def test_the_id_is_judged_before_the_key(world: World) -> None:
    world.submit(new("a", unique=LIVE))
    item = world.submit_one(new("a", "g", unique=LIVE))
    assert (item.task_id, item.status) == ("a", "id_conflict")


def test_a_live_key_is_held_through_running_snooze_and_retry(world: World) -> None:
    task = world.start("a", unique=LIVE)
    assert world.submit_one(new("b", unique=LIVE)).status == "existing"
    world.end(task, Snoozed(START + SECOND))
    assert world.submit_one(new("b", unique=LIVE)).status == "existing"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_live_key_is_free_once_the_task_has_ended(world: World, end: str) -> None:
    if end == "cancelled":
        world.submit(new("a", unique=LIVE))
        world.cancel("a")
    else:
        task = world.start("a", unique=LIVE)
        world.end(task, None if end == "succeeded" else Failed(TaskError("exception"), final=True))
    assert world.get("a").state == end
    assert world.submit_one(new("b", unique=LIVE)).status == "created"
    assert world.submit_one(new("c", unique=LIVE)).task_id == "b"


def test_a_live_key_is_free_once_the_task_has_lapsed(world: World) -> None:
    world.submit(new("a", unique=LIVE, expires_at=START))
    assert world.claim() == ()
    assert world.submit_one(new("b", unique=LIVE)).status == "created"


def test_a_retained_key_is_held_until_the_task_is_pruned(world: World) -> None:
    world.end(world.start("a", unique=RETAINED, policy=Policy(retention=SECOND)))
    assert world.submit_one(new("b", unique=LIVE)).task_id == "a"
    world.clock.advance(SECOND)
    assert world.run(world.storage.prune(now=world.now)) == 1
    assert world.submit_one(new("b", unique=LIVE)).status == "created"


def test_a_retained_key_is_free_once_the_task_is_deleted(world: World) -> None:
    world.end(world.start("a", unique=RETAINED))
    assert world.run(world.storage.delete_tasks(["a"])) == (True,)
    assert world.submit_one(new("b", unique=RETAINED)).status == "created"


def test_deleting_an_ended_task_leaves_the_key_with_its_new_holder(world: World) -> None:
    world.end(world.start("a", unique=LIVE))
    world.submit(new("b", unique=LIVE))
    world.run(world.storage.delete_tasks(["a"]))
    assert world.submit_one(new("c", unique=LIVE)).task_id == "b"


def test_the_snapshot_says_that_it_was_unique_after_the_end(world: World) -> None:
    world.end(world.start("a", unique=LIVE))
    assert world.get("a").state is State.SUCCEEDED
    assert world.get("a").spec.unique == LIVE
