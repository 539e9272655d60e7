"""Heartbeats: registering, and what worker and store tell each other about what is held (law 8)."""

from __future__ import annotations

from dataclasses import replace

from angelica.domain.outcome import Released
from angelica.domain.task import Lease, State
from angelica.storage.protocol import Beat, Topic
from tests.storage.world import LEASE, START, World, ids, new, worker_info


def test_a_worker_registers_with_its_first_beat(world: World) -> None:
    info = replace(
        worker_info("w1", functions=("f", "g")),
        queues=("a", "b"),
        labels={"gpu": "true"},
        start_file="/run/w1",
        pid_started=123,
    )
    world.run(world.storage.heartbeat(Beat(info, 77, START), now=world.now))
    (row,) = world.run(world.storage.list_workers())
    assert (row.info, row.lease_until, row.seen_at, row.running) == (info, 77, START, 0)


def test_a_later_beat_replaces_what_is_known(world: World) -> None:
    world.beat("w1")
    world.start("a")
    world.clock.advance(5)
    world.beat("w1", functions=("f",))
    (row,) = world.run(world.storage.list_workers())
    assert row.info.functions == ("f",)
    assert (row.lease_until, row.seen_at, row.running) == (world.now.tick + LEASE, START + 5, 1)


def test_workers_are_listed_by_name(world: World) -> None:
    for name in ("w2", "w10", "w1"):
        world.beat(name)
    assert [row.info.id for row in world.run(world.storage.list_workers())] == ["w1", "w10", "w2"]


def test_nothing_differs(world: World) -> None:
    task = world.start("a")
    reply = world.beat("w1", held=[task.lease])
    assert (reply.lost, reply.cancel, reply.strays) == ((), (), ())


def test_a_lease_that_another_attempt_has_replaced_is_lost(world: World) -> None:
    first = world.start("a")
    world.end(first, Released())
    (second,) = world.claim(worker="w2")
    assert world.beat("w1", held=[first.lease]).lost == (first.lease,)
    assert world.beat("w2", held=[second.lease]).lost == ()


def test_what_ended_is_not_there_or_is_anothers_is_lost(world: World) -> None:
    task = world.start("a")
    world.end(task)
    other = world.start("b", worker="w2")
    held = [task.lease, Lease("none", 1), other.lease]
    assert set(world.beat("w1", held=held).lost) == set(held)


def test_a_claim_whose_reply_was_lost_comes_back_as_strays(world: World) -> None:
    world.submit(new("a"), new("b"))
    a, b = world.claim()
    reply = world.beat("w1", held=[a.lease])
    assert reply.strays == (b,)
    assert world.end(b, Released())
    assert (world.get("b").state, world.get("b").failures) == (State.QUEUED, 0)


def test_strays_are_those_of_the_worker_alone(world: World) -> None:
    world.start("a", worker="w2")
    assert world.beat("w1").strays == ()


def test_a_requested_cancel_is_told_with_its_reason(world: World) -> None:
    world.submit(new("a"), new("b"))
    a, b = world.claim()
    world.cancel("a", reason="because")
    assert world.beat("w1", held=[a.lease, b.lease]).cancel == (("a", "because"),)


def test_the_start_of_a_handler_is_written_once(world: World) -> None:
    task = world.start("a")
    world.beat("w1", held=[task.lease], started=[("a", 1, START + 3)])
    assert world.get("a").started_at == START + 3
    world.beat("w1", held=[task.lease], started=[("a", 1, START + 9)])
    assert world.get("a").started_at == START + 3


def test_the_start_of_another_attempt_is_stale(world: World) -> None:
    world.end(world.start("a"), Released())
    (task,) = world.claim()
    world.beat("w1", held=[task.lease], started=[("a", 1, START + 3), ("none", 1, START)])
    assert world.get("a").started_at is None


def test_a_completion_without_a_start_keeps_the_one_of_the_heartbeat(world: World) -> None:
    task = world.start("a")
    world.beat("w1", held=[task.lease], started=[("a", 1, START + 3)])
    world.end(task)
    assert world.get("a").started_at == START + 3


def test_a_worker_that_knows_a_function_frees_its_tasks(world: World) -> None:
    world.submit(new("a", "f"), new("b", "g"))
    for task in world.claim():
        world.end(task, Released(held="unknown_function"))
    assert world.claim() == ()
    world.beat("w2", functions=("h",))
    assert world.claim() == ()
    world.beat("w2", functions=("g", "h"))
    assert world.get("b").held is None
    assert world.claim(functions=("f",)) == ()  # from now on only those see it that know its function
    assert ids(world.claim(functions=("f", "g"))) == ["b"]
    world.beat("w2", functions=("f",))
    assert ids(world.claim(functions=("f",))) == ["a"]


def test_a_beat_frees_so_many_and_says_that_there_may_be_more(world: World) -> None:
    world.submit(*(new(f"{function}{n}", function) for function in "gf" for n in range(3)))
    for task in world.claim():
        world.end(task, Released(held="unknown_function"))
    info = worker_info("w2", functions=("g", "f"))

    def free() -> list[str]:
        return sorted(name for name in ("f0", "f1", "f2", "g0", "g1", "g2") if world.get(name).held is None)

    assert world.beat("w2", functions=("g", "f"), limit=2).more
    assert free() == ["f0", "f1"]
    mark = world.storage.mark(Topic.READY)
    assert world.run(world.storage.free_held(info, limit=2)) == 2
    assert free() == ["f0", "f1", "f2", "g0"]
    assert world.storage.mark(Topic.READY) > mark
    assert world.run(world.storage.free_held(info, limit=3)) == 2
    assert world.run(world.storage.free_held(info, limit=3)) == 0
    assert not world.beat("w2", functions=("g", "f"), limit=2).more


def test_one_that_is_not_to_run_frees_nothing(world: World) -> None:
    world.end(world.start("a"), Released(held="unknown_function"))
    world.beat("w2")
    world.run(world.storage.control_workers(["w2"], "drain", now=world.now))
    assert not world.beat("w2", functions=("f",), limit=1).more
    assert world.get("a").held == "unknown_function"


def test_other_holds_stay(world: World) -> None:
    world.end(world.start("a"), Released(held="paused"))
    world.beat("w2", functions=("f",))
    assert world.get("a").held == "paused"
