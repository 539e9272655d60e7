"""Circuit breakers in a storage: who trips one, whom it holds, and who goes on when it is tried again."""

from __future__ import annotations

import pytest

from angelica.clock import MINUTE, SECOND
from angelica.domain.breaker import Circuit, totals
from angelica.domain.outcome import Cancelled, Crashed, Failed, LeaseExpired, Outcome, Released, Succeeded
from angelica.domain.task import Policy, State, Task, TaskError
from angelica.storage.protocol import Topic
from tests.storage.world import LEASE, START, World, ids, new

ERROR = TaskError("exception", "ConnectionError", "gone", "stack", "print", 1)
BAD = Failed(ERROR, final=True)


def fill(world: World, count: int, name: str = "t", uses: tuple[str, ...] = ("stripe",), **parts: object) -> list[str]:
    names = [f"{name}{place:02}" for place in range(count)]
    world.submit(*(new(each, uses=uses, **parts) for each in names))
    return names


def fail(world: World, count: int = 10, outcome: Outcome = BAD, name: str = "bad") -> None:
    fill(world, count, name)
    tasks = world.claim(count)
    world.exchange([world.completion(task, outcome) for task in tasks])


def circuit(world: World, name: str = "stripe") -> Circuit | None:
    found = {row.name: row.breaker for row in world.run(world.storage.list_breakers())}
    return found[name].shown(world.now) if name in found else None


def relieve(world: World) -> int:
    return world.run(world.storage.relieve(now=world.now)).count


def probe(world: World) -> Task:
    relieve(world)
    (task,) = world.claim()
    return task


def test_plain_tasks_leave_no_trace(world: World) -> None:
    world.end(world.start("a"))
    assert world.run(world.storage.list_breakers()) == ()


def test_ten_failures_open_it_and_what_comes_then_is_held(world: World) -> None:
    fail(world)
    assert circuit(world) is Circuit.OPEN
    names = fill(world, 3)
    world.submit(new("plain"))
    assert ids(world.claim()) == ["plain"]
    assert {world.get(name).held for name in names} == {"breaker:stripe"}
    assert [world.get(name).attempt for name in names] == [0, 0, 0]
    (row,) = world.run(world.storage.list_breakers())
    assert (row.name, row.held) == ("stripe", 3)
    assert world.run(world.storage.list_limits()) == ()


@pytest.mark.parametrize(
    "outcome", [Succeeded(), Failed(ERROR, final=True, blames=False), Cancelled(), Crashed(ERROR), Released()]
)
def test_what_does_not_blame_it_does_not_open_it(world: World, outcome: Outcome) -> None:
    fail(world, 12, outcome)
    assert circuit(world) is Circuit.CLOSED


def test_nine_failures_and_a_late_one_of_another_attempt(world: World) -> None:
    """A completion that its fence refuses tells of nothing."""
    fail(world, 9)
    task = world.start("x", uses=("stripe",))
    world.end(task, Released())
    (again,) = world.claim()
    assert not world.end(task, BAD)
    assert circuit(world) is Circuit.CLOSED
    world.end(again, BAD)
    assert circuit(world) is Circuit.OPEN


def test_running_attempts_end_as_they_end(world: World) -> None:
    fill(world, 12)
    tasks = world.claim()
    world.exchange([world.completion(task, BAD) for task in tasks[:10]])
    assert circuit(world) is Circuit.OPEN
    assert world.end(tasks[10])
    assert world.end(tasks[11], BAD)
    assert world.counts()["default", "succeeded"] == 1


def test_one_probe_at_a_time_then_all(world: World) -> None:
    fail(world)
    names = fill(world, 6)
    assert world.claim() == ()
    world.clock.advance(29 * SECOND)
    relieved = world.run(world.storage.relieve(now=world.now))
    assert (relieved.count, relieved.next_at) == (0, START + 30 * SECOND)
    world.clock.advance(SECOND)
    first = probe(world)
    assert first.id == names[0]
    assert relieve(world) == 0
    world.submit(new("z", uses=("stripe",)))
    assert world.claim() == ()
    assert world.get("z").held == "breaker:stripe"
    world.end(first)
    assert circuit(world) is Circuit.HALF_OPEN
    (second,) = world.claim()
    assert second.id == names[1], "the end of a probe frees the next"
    world.end(second)
    (third,) = world.claim()
    mark = world.storage.mark(Topic.READY)
    world.end(third)
    assert circuit(world) is Circuit.CLOSED
    assert world.storage.mark(Topic.READY) > mark
    assert set(ids(world.claim())) == {*names[3:], "z"}


def test_a_bad_probe_shuts_it_for_longer_and_keeps_its_retries(world: World) -> None:
    fail(world)
    fill(world, 2)
    world.claim()
    world.clock.advance(30 * SECOND)
    world.end(probe(world), Failed(ERROR))
    assert circuit(world) is Circuit.OPEN
    (row,) = world.run(world.storage.list_breakers())
    assert row.breaker.until == world.now.wall + MINUTE
    assert relieve(world) == 0
    assert world.claim() == ()


@pytest.mark.parametrize("outcome", [Released(), Cancelled(), Crashed(ERROR)])
def test_a_probe_that_says_nothing_makes_room_for_the_next(world: World, outcome: Outcome) -> None:
    fail(world)
    fill(world, 2)
    world.claim()
    world.clock.advance(30 * SECOND)
    world.end(probe(world), outcome)
    assert circuit(world) is Circuit.HALF_OPEN
    assert len(world.claim()) == 1


def test_a_probe_whose_worker_dies_makes_room_for_the_next(world: World) -> None:
    fail(world)
    fill(world, 1)
    world.claim()
    world.clock.advance(30 * SECOND)
    world.beat("w1")
    relieve(world)
    (task,) = world.claim(worker="w1")
    world.clock.advance(LEASE + 1)
    now = world.now
    (dead,) = world.run(world.storage.expired(now=now))
    world.exchange([world.completion(dead, LeaseExpired("w1"), expired_by=now.tick)])
    assert ids(world.claim(worker="w2")) == [task.id]


def test_a_task_that_uses_two_needs_both(world: World) -> None:
    fail(world)
    world.submit(new("both", uses=("mail", "stripe")), new("mail", uses=("mail",)))
    (task,) = world.claim()
    assert task.id == "mail"
    assert world.get("both").held == "breaker:stripe"
    world.end(task)
    world.run(world.storage.force_breaker("stripe", None, now=world.now))
    assert ids(world.claim()) == ["both"]


def test_slow_ones_open_it(world: World) -> None:
    fill(world, 10, latency=SECOND)
    tasks = world.claim()
    world.clock.advance(3 * SECOND)
    for task in tasks:
        world.end(task, started_at=world.now.wall - 2 * SECOND)
    assert circuit(world) is Circuit.OPEN


def test_a_wish_to_be_left_alone_is_heeded(world: World) -> None:
    fail(world, outcome=Failed(ERROR, final=True, leave_alone=5 * MINUTE))
    world.clock.advance(5 * MINUTE - 1)
    assert circuit(world) is Circuit.OPEN
    world.clock.advance(1)
    assert circuit(world) is Circuit.HALF_OPEN


def test_an_operator_opens_closes_and_resets(world: World) -> None:
    storage = world.storage
    row = world.run(storage.force_breaker("stripe", Circuit.OPEN, now=world.now, by="eve", reason="migration"))
    assert (row.breaker.forced, row.breaker.by, row.breaker.reason) == (Circuit.OPEN, "eve", "migration")
    names = fill(world, 3)
    assert world.claim() == ()
    world.clock.advance(60 * MINUTE)
    assert relieve(world) == 0
    mark = storage.mark(Topic.READY)
    row = world.run(storage.force_breaker("stripe", Circuit.CLOSED, now=world.now))
    assert (row.held, storage.mark(Topic.READY) > mark) == (0, True)
    assert ids(world.claim()) == names
    fail(world, 20)
    assert circuit(world) is Circuit.CLOSED
    row = world.run(storage.force_breaker("stripe", None, now=world.now))
    assert row.breaker.forced is None
    assert totals(row.breaker, world.now).calls == 0


def test_a_held_task_can_be_cancelled(world: World) -> None:
    fail(world)
    (name,) = fill(world, 1)
    world.claim()
    assert world.cancel(name) == ("cancelled",)
    assert world.get(name).state is State.CANCELLED


def test_one_exchange_ends_and_claims(world: World) -> None:
    """What opens a breaker and the claim after it are one transaction: the claim sees it open."""
    fill(world, 14)
    tasks = world.claim(10)
    reply = world.exchange([world.completion(task, BAD) for task in tasks])
    assert reply.accepted == (True,) * 10
    assert world.claim() == ()
    assert world.found(held=True) == ["t10", "t11", "t12", "t13"]


def test_a_retry_meets_the_open_breaker_and_costs_nothing(world: World) -> None:
    fill(world, 10, policy=Policy(retries=1))
    tasks = world.claim()
    world.exchange([world.completion(task, Failed(ERROR, retry_after=0)) for task in tasks])
    assert world.claim() == ()
    task = world.get("t00")
    assert (task.held, task.attempt, task.failures) == ("breaker:stripe", 1, 1)
