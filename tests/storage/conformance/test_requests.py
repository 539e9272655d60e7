"""Idempotency keys: a repeated request is answered from what the first one was answered."""

from __future__ import annotations

import pytest

from angelica.clock import HOUR
from angelica.errors import IdempotencyMismatch
from angelica.storage.protocol import Request
from tests.storage.world import START, World, new

FIRST = Request("me", "key", "POST /tasks", "digest", START + 24 * HOUR)


def other(**parts: object) -> Request:
    fields = {"principal": "me", "key": "key", "route": "POST /tasks", "digest": "digest"}
    return Request(**{**fields, "expires_at": START + 24 * HOUR, **parts})


def test_a_repeat_writes_nothing_and_answers_the_first(world: World) -> None:
    first = world.submit(new("a"), request=FIRST)
    again = world.submit(new("b"), request=FIRST)
    assert not first.replayed
    assert again.replayed
    assert again.items == first.items
    assert world.find("b") is None


def test_the_answer_is_kept_when_the_task_is_gone(world: World) -> None:
    first = world.submit(new("a"), request=FIRST)
    (task,) = world.claim()
    world.end(task)
    world.run(world.storage.delete_tasks(["a"]))
    assert world.submit(new("b"), request=FIRST).items == first.items


@pytest.mark.parametrize("different", [{"digest": "other"}, {"route": "POST /tasks/batch"}])
def test_the_same_key_with_another_request_is_refused(world: World, different: dict[str, str]) -> None:
    world.submit(new("a"), request=FIRST)
    with pytest.raises(IdempotencyMismatch):
        world.submit(new("b"), request=other(**different))
    assert world.find("b") is None


@pytest.mark.parametrize("different", [{"key": "key2"}, {"principal": "you"}])
def test_another_key_or_principal_is_another_request(world: World, different: dict[str, str]) -> None:
    world.submit(new("a"), request=FIRST)
    assert not world.submit(new("b"), request=other(**different)).replayed
    assert world.find("b") is not None


def test_a_key_that_has_expired_is_free(world: World) -> None:
    world.submit(new("a"), request=FIRST)
    world.clock.advance(24 * HOUR)
    late = other(digest="other", expires_at=START + 48 * HOUR)
    assert not world.submit(new("b"), request=late).replayed
    assert world.submit(new("c"), request=late).replayed


def test_expired_keys_are_pruned_and_others_kept(world: World) -> None:
    world.submit(new("a"), request=FIRST)
    world.submit(new("b"), request=other(key="later", expires_at=START + 25 * HOUR))
    world.clock.advance(24 * HOUR)
    world.run(world.storage.prune(now=world.now))
    assert world.submit(new("c"), request=other(key="later", expires_at=START + 25 * HOUR)).replayed


def test_refused_items_are_part_of_the_answer(world: World) -> None:
    world.submit(new("a"))
    first = world.submit(new("a", "g"), new("b"), request=FIRST)
    assert [item.status for item in first.items] == ["id_conflict", "created"]
    assert world.submit(new("c"), request=FIRST).items == first.items


def test_an_atomic_batch_that_was_refused_is_not_kept(world: World) -> None:
    world.submit(new("a"))
    refused = world.submit(new("a", "g"), new("b"), request=FIRST, atomic=True)
    assert [item.status for item in refused.items] == ["id_conflict", "aborted"]
    assert not world.submit(new("c"), request=FIRST, atomic=True).replayed
    assert world.find("c") is not None
