"""Submitting: what becomes of each task, alone and in batches (laws 1, 2, 8)."""

from __future__ import annotations

from dataclasses import replace

from angelica.clock import SECOND
from angelica.domain.retry import Fixed, Linear
from angelica.domain.task import Extras, Policy, State, Unique
from tests.storage.world import START, World, new


def statuses(world: World, *tasks, **options) -> list[str]:
    return [item.status for item in world.submit(*tasks, **options).items]


def test_a_due_task_is_queued_and_a_later_one_scheduled(world: World) -> None:
    assert statuses(world, new("a"), new("b", run_at=START + 1)) == ["created", "created"]
    assert world.get("a").state is State.QUEUED
    assert world.get("b").state is State.SCHEDULED


def test_every_part_of_a_task_comes_back_as_it_was_given(world: World) -> None:
    task = new(
        "full",
        "module.function",
        payload='{"args":[1,"ü\\u0000",null],"kwargs":{"x":1e3}}',
        run_at=START + 7,
        created_at=START - 3,
        policy=Policy(None, 0, 7, Linear(0.5, 9.0, 0.0), ("ValueError", "a.b.C"), 1),
        queue="Grün",
        executor="process",
        priority=-128,
        version=12,
        trace_id="0af7651916cd43dd8448eb211c80319c",
        unique=Unique("k\n'\"", "retained", "reject"),
        expires_at=START + 8,
        deadline=START + 9,
    )
    extras = Extras(
        headers={"tenant": "t'1", "traceparent": "00-…"},
        labels={"a": "1", "b": ""},
        extensions={"free": [1, {"x": None}], "n": 1.5},
        created_by="me",
        digest="d" * 64,
        parent_id="p",
        retry_of="r",
        schedule_id="s",
    )
    plain = new("plain", policy=Policy(backoff=Fixed(2.0)))
    full = replace(task, extras=extras)
    world.submit(full, plain)
    assert world.get("full").spec == full
    assert world.get("plain").spec == plain


def test_a_new_task_has_nothing_behind_it(world: World) -> None:
    world.submit(new("a"))
    task = world.get("a")
    assert (task.attempt, task.failures, task.crashes, task.run_at) == (0, 0, 0, START)
    assert (task.held, task.worker, task.result, task.error, task.checkpoint, task.progress) == (None,) * 6
    assert (task.started_at, task.finished_at, task.cancel_requested, task.cancel_reason) == (None, None, False, None)


def test_an_empty_batch_is_answered_with_nothing(world: World) -> None:
    assert world.submit().items == ()
    assert world.submit(atomic=True).items == ()


def test_the_same_task_again_is_existing(world: World) -> None:
    world.submit(new("a"))
    again = world.submit(new("a")).items[0]
    assert (again.task_id, again.status) == ("a", "existing")


def test_an_engine_made_id_with_another_body_is_a_conflict(world: World) -> None:
    world.submit(new("a"))
    for other in (new("a", "g"), new("a", payload="{}"), new("a", run_at=START + SECOND), new("a", digest="d")):
        assert statuses(world, other) == ["id_conflict"]


def test_a_client_id_is_judged_by_the_digest_of_its_request_alone(world: World) -> None:
    world.submit(new("a", digest="one"))
    # The same request a minute later: `created_at` and a relative `run_at` have moved.
    assert statuses(world, new("a", digest="one", created_at=START + 60, run_at=START + 60)) == ["existing"]
    assert statuses(world, new("a", digest="two")) == ["id_conflict"]
    assert statuses(world, new("a")) == ["id_conflict"]


def test_a_batch_acts_as_its_items_would_one_by_one(world: World) -> None:
    same = new("a")
    assert statuses(world, same, new("b"), same, new("b", "g"), new("c")) == [
        "created",
        "created",
        "existing",
        "id_conflict",
        "created",
    ]
    assert world.counts() == {("default", "queued"): 3}


def test_an_ended_task_still_holds_its_id(world: World) -> None:
    world.end(world.start("a"))
    assert statuses(world, new("a")) == ["existing"]
    assert statuses(world, new("a", "g")) == ["id_conflict"]
    assert world.get("a").state is State.SUCCEEDED


def test_an_atomic_batch_is_written_when_nothing_is_refused(world: World) -> None:
    world.submit(new("a"))
    assert statuses(world, new("a"), new("b"), atomic=True) == ["existing", "created"]
    assert world.find("b") is not None


def test_an_atomic_batch_with_a_refusal_leaves_nothing(world: World) -> None:
    world.submit(new("a"))
    b = new("b", unique=Unique("k"))
    items = world.submit(new("a"), b, new("a", "g"), b, new("c", run_at=START + 1), atomic=True).items
    assert [item.status for item in items] == ["existing", "aborted", "id_conflict", "aborted", "aborted"]
    assert [item.task_id for item in items] == ["a", "b", "a", "b", "c"]
    assert (world.find("b"), world.find("c")) == (None, None)
    assert world.counts() == {("default", "queued"): 1}
    # The unique key of the task that was not written is free.
    assert statuses(world, new("d", unique=Unique("k"))) == ["created"]
    assert [task.id for task in world.claim()] == ["a", "d"]
