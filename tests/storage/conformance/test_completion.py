"""Completions: what each end writes, and the fence around it (law 3)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Cancelled, Crashed, Failed, LeaseExpired, Outcome, Released, Snoozed, Succeeded
from angelica.domain.task import Attempt, Policy, State, TaskError, Unique
from angelica.domain.usage import Usage
from tests.storage.world import START, World, ids, new

ERROR = TaskError("exception", "ValueError", "bad ü", "Traceback …", "f00d", 1)


def test_success(world: World) -> None:
    task = world.start("a")
    world.clock.advance(10)
    assert world.end(task, Succeeded('{"x":1}'), started_at=START + 3)
    after = world.get("a")
    assert (after.state, after.result, after.error) == (State.SUCCEEDED, '{"x":1}', None)
    assert (after.started_at, after.finished_at) == (START + 3, START + 10)
    assert (after.attempt, after.failures, after.crashes, after.worker) == (1, 0, 0, "w1")
    assert world.run(world.storage.read_attempts("a")) == ()


def test_a_failure_waits_its_backoff_and_keeps_its_error(world: World) -> None:
    task = world.start("a")
    assert world.end(task, Failed(ERROR, retry_after=SECOND), started_at=START)
    after = world.get("a")
    assert (after.state, after.run_at, after.failures) == (State.SCHEDULED, START + SECOND, 1)
    assert (after.error, after.worker, after.finished_at) == (ERROR, None, None)


def test_the_last_failure_ends_the_task(world: World) -> None:
    task = world.start("a", policy=Policy(retries=0))
    assert world.end(task, Failed(ERROR))
    after = world.get("a")
    assert (after.state, after.error, after.finished_at, after.failures) == (State.FAILED, ERROR, START, 1)


def test_a_crash_goes_back_at_once_and_poison_ends_it(world: World) -> None:
    world.submit(new("a", policy=Policy(max_crashes=1)))
    (first,) = world.claim()
    assert world.end(first, Crashed(TaskError("crashed")))
    assert (world.get("a").state, world.get("a").crashes, world.get("a").failures) == (State.QUEUED, 1, 0)
    (second,) = world.claim()
    assert world.end(second, Crashed(TaskError("crashed")))
    after = world.get("a")
    assert after.state is State.FAILED
    assert after.error is not None
    assert after.error.reason == "poison"


def test_a_snooze_costs_nothing(world: World) -> None:
    task = world.start("a")
    assert world.end(task, Snoozed(START + SECOND))
    after = world.get("a")
    assert (after.state, after.run_at, after.failures, after.crashes) == (State.SCHEDULED, START + SECOND, 0, 0)


def test_a_release_is_ready_again_at_its_old_place(world: World) -> None:
    world.submit(new("a"), new("b", run_at=START))
    (task,) = world.claim(1)
    world.clock.advance(SECOND)
    assert world.end(task, Released())
    after = world.get("a")
    assert (after.state, after.run_at, after.attempt, after.held) == (State.QUEUED, START, 1, None)
    assert ids(world.claim()) == ["a", "b"]


def test_a_released_task_may_be_parked(world: World) -> None:
    task = world.start("a")
    assert world.end(task, Released(held="unknown_function"))
    assert (world.get("a").state, world.get("a").held) == (State.QUEUED, "unknown_function")
    assert world.counts() == {("default", "queued"): 1}


def test_a_cancelled_attempt_ends_the_task(world: World) -> None:
    task = world.start("a")
    assert world.end(task, Cancelled("cancelled", "asked for"))
    after = world.get("a")
    assert (after.state, after.error) == (State.CANCELLED, TaskError("cancelled", message="asked for", attempt=1))


def test_every_end_but_success_is_kept_as_history(world: World) -> None:
    outcomes: list[Outcome] = [
        Released(),
        Snoozed(START),
        Failed(ERROR, retry_after=0),
        Failed(TaskError("timeout"), retry_after=0),
        Crashed(TaskError("crashed", message="9")),
        LeaseExpired("w1"),
        Succeeded(),
    ]
    world.submit(new("a"))
    for outcome in outcomes:
        (task,) = world.claim()
        assert world.end(task, outcome, started_at=None if isinstance(outcome, Released) else START)
    rows = world.run(world.storage.read_attempts("a"))
    assert [(row.attempt, row.outcome) for row in rows] == [
        (1, "released"),
        (2, "snoozed"),
        (3, "failed"),
        (4, "timeout"),
        (5, "crashed"),
        (6, "lease_expired"),
    ]
    assert rows[0] == Attempt("a", 1, "released", "w1", None, START, None)
    assert rows[2] == Attempt("a", 3, "failed", "w1", START, START, ERROR)
    assert world.run(world.storage.read_attempts("none")) == ()


def test_a_completion_counts_once(world: World) -> None:
    task = world.start("a")
    end = world.completion(task, Succeeded("1"))
    again = world.completion(task, Failed(ERROR))
    assert world.exchange([end, end, again]).accepted == (True, False, False)
    assert world.exchange([end]).accepted == (False,)
    assert world.get("a").result == "1"


def test_a_late_completion_of_an_earlier_attempt_is_stale(world: World) -> None:
    first = world.start("a")
    world.end(first, Released())
    (second,) = world.claim(worker="w2")
    before = world.get("a")
    assert not world.end(first, Succeeded("late"))
    assert world.get("a") == before
    assert world.end(second, Succeeded("right"))
    assert world.get("a").result == "right"


@pytest.mark.parametrize("state", ["queued", "scheduled", "missing"])
def test_a_task_that_is_not_running_takes_no_completion(world: World, state: str) -> None:
    task = world.start("a")
    if state == "queued":
        world.end(task, Released())
    elif state == "scheduled":
        world.end(task, Snoozed(START + SECOND))
    else:
        world.end(task)
        world.run(world.storage.delete_tasks(["a"]))
    assert not world.end(task)


def test_stale_and_fresh_in_one_batch_are_told_apart(world: World) -> None:
    world.submit(new("a"), new("b"), new("c"))
    a, b, c = world.claim()
    world.end(b)
    ends = [world.completion(task, Succeeded("2")) for task in (a, b, c)]
    assert world.exchange(ends).accepted == (True, False, True)


def test_follow_ups_are_stored_with_an_accepted_completion_only(world: World) -> None:
    task = world.start("a")
    end = replace(world.completion(task), then=(new("x"), new("y", run_at=START + 1)))
    assert world.exchange([end]).accepted == (True,)
    assert (world.get("x").state, world.get("y").state) == (State.QUEUED, State.SCHEDULED)
    late = replace(end, then=(new("z"),))
    assert world.exchange([late]).accepted == (False,)
    assert world.find("z") is None


def test_a_follow_up_that_collides_does_not_undo_the_end(world: World) -> None:
    world.submit(new("x", "g", queue="other", unique=Unique("k")))
    task = world.start_in("a", "default")
    end = replace(world.completion(task), then=(new("x"), new("y", "g", unique=Unique("k", on_conflict="reject"))))
    assert world.exchange([end]).accepted == (True,)
    assert world.get("a").state is State.SUCCEEDED
    assert world.get("x").spec.function == "g"
    assert world.find("y") is None


def test_the_revision_grows_with_every_write(world: World) -> None:
    seen = []

    def look() -> None:
        seen.append(world.get("a").revision)

    world.submit(new("a"))
    look()
    (task,) = world.claim()
    look()
    world.end(task, Snoozed(START + 1))
    look()
    world.clock.advance(1)
    world.run(world.storage.promote_due(now=world.now))
    look()
    (task,) = world.claim()
    look()
    world.beat(held=[task.lease], started=[("a", task.attempt, START)])
    look()
    world.cancel("a")
    look()
    world.end(task)
    look()
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("outcome", [Succeeded("1"), Failed(ERROR), Failed(ERROR, final=True), Released(), Cancelled()])
def test_what_an_attempt_took_is_kept_with_the_task_and_with_the_attempt(world: World, outcome: Outcome) -> None:
    took = Usage(12.5, 3 << 30, "cgroup v2")
    task = world.start("a")
    assert world.end(task, replace(outcome, usage=took))
    assert world.get("a").usage == took
    kept = [attempt.usage for attempt in world.run(world.storage.read_attempts("a"))]
    assert kept == ([] if isinstance(outcome, Succeeded) else [took])


@pytest.mark.parametrize("took", [None, Usage(0.25, None, "wait4")])
def test_the_usage_of_a_task_is_that_of_its_last_attempt(world: World, took: Usage | None) -> None:
    first = Usage(1.0, 1 << 20, "maxrss")
    assert world.end(world.start("a"), Failed(ERROR, retry_after=0, usage=first))
    (again,) = world.claim()
    assert again.usage == first
    assert world.end(again, Succeeded("1", usage=took))
    assert world.get("a").usage == took
    assert [attempt.usage for attempt in world.run(world.storage.read_attempts("a"))] == [first]
