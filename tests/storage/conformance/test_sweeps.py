"""Leases: when a worker's tasks are expired, and when a sweep may still end them (law 3)."""

from __future__ import annotations

from angelica.domain.outcome import LeaseExpired, Released, Succeeded
from angelica.domain.task import State
from tests.storage.world import LEASE, World, new


def sweep(world: World, task) -> bool:
    return world.end(task, LeaseExpired("w1"), expired_by=world.now.tick)


def test_a_task_expires_when_its_workers_lease_has_passed(world: World) -> None:
    world.beat("w1")
    world.start("a")
    assert world.expired() == []
    world.clock.advance(LEASE - 1)
    assert world.expired() == []
    world.clock.advance(1)
    assert world.expired() == ["a"]


def test_a_heartbeat_renews_the_lease(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.clock.advance(LEASE - 1)
    world.beat("w1", held=[task.lease])
    world.clock.advance(LEASE - 1)
    assert world.expired() == []


def test_a_step_of_the_wall_clock_expires_nothing(world: World) -> None:
    world.beat("w1")
    world.start("a")
    world.clock.shift_wall(10 * LEASE)
    assert world.expired() == []


def test_the_tasks_of_a_worker_that_nobody_knows_are_expired(world: World) -> None:
    world.start("a", worker="ghost")
    assert world.expired() == ["a"]


def test_the_leases_of_another_boot_are_void_at_once(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.clock.reboot("boot-1")
    assert world.expired() == ["a"]
    assert sweep(world, task)
    assert world.get("a").state is State.QUEUED


def test_only_running_tasks_expire(world: World) -> None:
    world.beat("w1")
    world.submit(new("a"), new("b"))
    a, _b = world.claim()
    world.end(a)
    world.clock.advance(LEASE)
    assert world.expired() == ["b"]


def test_expired_is_bounded(world: World) -> None:
    world.submit(*[new(f"t{n}") for n in range(5)])
    world.claim()
    assert len(world.run(world.storage.expired(now=world.now, limit=3))) == 3


def test_a_sweep_ends_what_is_past_its_lease(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.clock.advance(LEASE)
    assert sweep(world, task)
    assert (world.get("a").state, world.get("a").crashes) == (State.QUEUED, 1)
    assert world.expired() == []


def test_a_sweep_is_stale_once_the_worker_has_renewed(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.clock.advance(LEASE)
    decided = world.completion(task, LeaseExpired("w1"), expired_by=world.now.tick)
    world.beat("w1", held=[task.lease])
    before = world.get("a")
    assert world.exchange([decided]).accepted == (False,)
    assert world.get("a") == before
    assert world.end(task, Succeeded())


def test_a_sweep_ends_the_tasks_of_a_worker_without_a_row(world: World) -> None:
    task = world.start("a", worker="ghost")
    assert sweep(world, task)


def test_a_worker_past_its_lease_may_still_end_its_task(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.clock.advance(2 * LEASE)
    assert world.end(task, Succeeded())


def test_of_two_sweeps_one_counts(world: World) -> None:
    task = world.start("a", worker="ghost")
    assert sweep(world, task)
    assert not sweep(world, task)
    assert world.get("a").crashes == 1


def test_an_ended_worker_has_no_lease(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    assert world.run(world.storage.end_worker("w1", now=world.now)) == 1
    assert world.expired() == ["a"]
    assert sweep(world, task)


def test_an_ended_worker_without_tasks_is_removed(world: World) -> None:
    world.beat("w1")
    world.beat("w2")
    assert world.run(world.storage.end_worker("w1", now=world.now)) == 0
    assert [row.info.id for row in world.run(world.storage.list_workers())] == ["w2"]
    assert world.run(world.storage.end_worker("nobody", now=world.now)) == 0


def test_a_handed_back_task_costs_nothing(world: World) -> None:
    world.beat("w1")
    task = world.start("a")
    world.run(world.storage.end_worker("w1", now=world.now))
    assert world.end(task, Released(), expired_by=world.now.tick)
    after = world.get("a")
    assert (after.state, after.failures, after.crashes) == (State.QUEUED, 0, 0)
