"""Cancelling at each point of a task's life: it wins over a retry and loses to an end (law 6)."""

from __future__ import annotations

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Crashed, Failed, LeaseExpired, Outcome, Released, Snoozed, Succeeded
from angelica.domain.task import Policy, State, TaskError
from tests.storage.world import START, World, new

AGAIN: dict[str, Outcome] = {
    "failed": Failed(TaskError("exception"), retry_after=SECOND),
    "snoozed": Snoozed(START + SECOND),
    "released": Released(),
    "parked": Released(held="unknown_function"),
    "crashed": Crashed(TaskError("crashed")),
    "lease_expired": LeaseExpired(),
}


@pytest.mark.parametrize("where", ["queued", "scheduled", "held", "backing off"])
def test_a_task_that_is_not_running_ends_at_once(world: World, where: str) -> None:
    if where == "queued":
        world.submit(new("a"))
    elif where == "scheduled":
        world.submit(new("a", run_at=START + SECOND))
    elif where == "held":
        world.end(world.start("a"), AGAIN["parked"])
    else:
        world.end(world.start("a"), AGAIN["failed"])
    world.clock.advance(5)
    assert world.cancel("a", reason="enough") == ("cancelled",)
    task = world.get("a")
    assert (task.state, task.finished_at, task.held) == (State.CANCELLED, START + 5, None)
    assert task.error == TaskError("cancelled", message="enough", attempt=task.attempt)
    assert world.counts() == {("default", "cancelled"): 1}
    world.clock.advance(SECOND)
    world.run(world.storage.promote_due(now=world.now))
    world.beat("w2", functions=("f",))
    assert world.claim() == ()
    assert world.cancel("a") == ("finished",)


def test_a_running_task_is_asked(world: World) -> None:
    world.start("a")
    assert world.cancel("a", reason="enough") == ("requested",)
    task = world.get("a")
    assert (task.state, task.cancel_requested, task.cancel_reason) == (State.RUNNING, True, "enough")


def test_the_first_reason_stands(world: World) -> None:
    world.start("a")
    assert world.cancel("a", reason="first") == ("requested",)
    assert world.cancel("a", reason="second") == ("requested",)
    assert world.get("a").cancel_reason == "first"


def test_each_id_is_answered_at_its_place(world: World) -> None:
    world.end(world.start("ended"))
    world.start("running")
    world.submit(new("queued"))
    assert world.cancel("queued", "none", "running", "ended", "queued") == (
        "cancelled",
        "missing",
        "requested",
        "finished",
        "finished",
    )
    assert world.cancel() == ()


@pytest.mark.parametrize("name", list(AGAIN))
def test_a_requested_cancel_wins_over_every_way_back(world: World, name: str) -> None:
    task = world.start("a")
    decided = world.completion(task, AGAIN[name])
    assert decided.state not in (State.CANCELLED, State.FAILED)
    world.cancel("a", reason="enough")
    world.clock.advance(1)
    assert world.exchange([decided]).accepted == (True,)
    after = world.get("a")
    assert (after.state, after.held, after.finished_at) == (State.CANCELLED, None, START)
    assert after.error == TaskError("cancelled", message="enough", attempt=1)
    assert (after.failures, after.crashes) == (decided.failures, decided.crashes)
    assert world.counts() == {("default", "cancelled"): 1}
    # The history says how the attempt itself ended.
    (row,) = world.run(world.storage.read_attempts("a"))
    assert (row.outcome, row.error) == (decided.outcome, decided.error)


@pytest.mark.parametrize("outcome", [Succeeded("1"), Failed(TaskError("fail"), final=True)])
def test_a_requested_cancel_loses_to_an_end(world: World, outcome: Outcome) -> None:
    task = world.start("a")
    decided = world.completion(task, outcome)
    world.cancel("a")
    assert world.exchange([decided]).accepted == (True,)
    assert world.get("a").state is decided.state
    assert world.cancel("a") == ("finished",)


def test_a_converted_end_is_kept_for_its_retention(world: World) -> None:
    task = world.start("a", policy=Policy(retention=SECOND))
    decided = world.completion(task, Released())
    world.cancel("a")
    world.exchange([decided])
    world.clock.advance(SECOND - 1)
    assert world.run(world.storage.prune(now=world.now)) == 0
    world.clock.advance(1)
    assert world.run(world.storage.prune(now=world.now)) == 1
