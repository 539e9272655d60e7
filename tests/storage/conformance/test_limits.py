"""Limits: how many run at once and begin in a period, whatever ends them, and who goes on when there is room again."""

from __future__ import annotations

import pytest

from angelica.clock import MINUTE, SECOND
from angelica.domain.outcome import Cancelled, Failed, LeaseExpired, Outcome, Released, Snoozed, Succeeded
from angelica.domain.task import State, TaskError
from angelica.storage.protocol import Claim, Topic
from tests.storage.world import LEASE, START, World, ids, new

ERROR = TaskError("exception", "ValueError", "bad", "stack", "print", 1)


def fill(world: World, count: int, function: str = "f", **parts: object) -> list[str]:
    names = [f"t{place:02}" for place in range(count)]
    world.submit(*(new(name, function, run_at=START + place, **parts) for place, name in enumerate(names)))
    world.clock.advance(SECOND)
    world.run(world.storage.promote_due(now=world.now))
    return names


@pytest.fixture(params=["queue:default", "function:f", "limit:acme", "limit:per/acme"])
def gate(request: pytest.FixtureRequest) -> str:
    return str(request.param)


LIMITS = ("acme", "per/acme")


def test_no_more_than_so_many_run_at_once(world: World, gate: str) -> None:
    world.limit(gate, max_running=2)
    names = fill(world, 5, limits=LIMITS)
    first = world.claim()
    assert ids(first) == names[:2]
    assert world.claim(worker="w2") == ()
    assert world.gates()[gate] == 2
    world.end(first[0])
    assert ids(world.claim()) == names[2:3]
    assert world.counts() == {("default", "queued"): 2, ("default", "running"): 2, ("default", "succeeded"): 1}


@pytest.mark.parametrize(
    "outcome",
    [Succeeded(), Failed(ERROR), Failed(ERROR, final=True), Cancelled(), Released(), Snoozed(START + MINUTE)],
)
def test_however_an_attempt_ends_its_place_is_free(world: World, gate: str, outcome: Outcome) -> None:
    world.limit(gate, max_running=1)
    a, b = fill(world, 2, limits=LIMITS)
    (task,) = world.claim()
    assert task.id == a
    assert world.end(task, outcome)
    assert world.gates()[gate] == 0
    expected = a if isinstance(outcome, Released) else b
    assert ids(world.claim()) == [expected]
    assert world.gates()[gate] == 1


def test_a_place_is_taken_with_the_exchange_that_ends_another(world: World, gate: str) -> None:
    world.limit(gate, max_running=1)
    names = fill(world, 4, limits=LIMITS)
    (task,) = world.claim()
    for name in names[1:]:
        reply = world.exchange([world.completion(task)], Claim("w1", 9, (("async", 9),)))
        (task,) = reply.claimed
        assert task.id == name


def test_a_dead_workers_places_are_free(world: World, gate: str) -> None:
    world.limit(gate, max_running=2)
    names = fill(world, 4, limits=LIMITS)
    world.beat("w1")
    world.claim(worker="w1")
    world.clock.advance(LEASE + 1)
    now = world.now
    dead = world.run(world.storage.expired(now=now))
    assert ids(dead) == names[:2]
    world.exchange([world.completion(task, LeaseExpired("w1"), expired_by=now.tick) for task in dead])
    assert world.gates()[gate] == 0
    assert ids(world.claim(worker="w2")) == names[:2]


def test_what_is_held_says_by_what_and_is_not_in_the_way(world: World) -> None:
    world.limit("limit:acme", max_running=1)
    names = fill(world, 3, limits=("acme",))
    world.submit(new("z", "g"))
    assert ids(world.claim(4)) == [names[0], "z"]
    assert [world.get(name).held for name in names] == [None, "limit:acme", "limit:acme"]
    assert world.get("z").held is None
    assert world.found(held=True) == names[1:]
    assert world.run(world.storage.count_held()) == {("limit:acme", "f"): 2}


def test_nothing_of_a_full_queue_is_held(world: World) -> None:
    world.limit("queue:default", max_running=1)
    names = fill(world, 3)
    world.submit(new("z", queue="other"))
    assert ids(world.claim()) == [names[0], "z"]
    assert world.found(held=True) == []


def test_all_limits_of_a_task_must_let_it(world: World) -> None:
    world.limit("limit:a", max_running=1)
    world.limit("limit:b", max_running=2)
    world.submit(new("1", limits=("a", "b")), new("2", limits=("a",)), new("3", limits=("b",)), new("4", limits=("b",)))
    first = world.claim()
    assert ids(first) == ["1", "3"]
    assert [world.get(name).held for name in "24"] == ["limit:a", "limit:b"]
    assert world.gates() == {"limit:a": 1, "limit:b": 2}
    world.end(first[0])
    assert ids(world.claim()) == ["2", "4"]


def test_one_that_is_held_elsewhere_makes_room_for_others(world: World) -> None:
    world.limit("limit:a", max_running=1)
    world.limit("limit:b", max_running=1)
    world.submit(new("1", limits=("a",)), new("2", limits=("b",)))
    one, two = world.claim()
    world.submit(new("3", limits=("a", "b")), new("4", limits=("a",)))
    assert world.claim() == ()
    assert [world.get(name).held for name in "34"] == ["limit:a", "limit:a"]
    world.end(one)  # frees 3, which b does not let through: 4 goes on in its place
    assert world.claim() == ()
    assert ids(world.claim()) == ["4"]
    world.end(two)
    assert ids(world.claim()) == []
    assert world.get("3").held == "limit:a"


def test_those_held_go_on_in_the_order_of_claim(world: World) -> None:
    world.limit("limit:a", max_running=1)
    world.submit(new("1", limits=("a",)))
    (task,) = world.claim()
    world.submit(new("2", limits=("a",)), new("3", limits=("a",), priority=5), new("4", limits=("a",), priority=5))
    seen = []
    for _ in range(3):
        world.claim()
        world.end(task)
        (task,) = world.claim()
        seen.append(task.id)
    assert seen == ["3", "4", "2"]


def test_a_key_has_its_own_places(world: World) -> None:
    world.declare("limit:per", max_running=1)
    world.limit("limit:per/big", max_running=2)
    world.submit(*(new(f"{key}{n}", limits=(f"per/{key}",)) for key in ("a", "b", "big") for n in range(3)))
    assert ids(world.claim()) == ["a0", "b0", "big0", "big1"]


def test_a_limit_that_is_not_stored_limits_nothing(world: World) -> None:
    world.limit("limit:a", max_running=1)
    world.submit(new("1", limits=("b",)), new("2", limits=("b",)))
    assert len(world.claim()) == 2


def test_a_raised_limit_lets_more_go_on(world: World, gate: str) -> None:
    world.limit(gate, max_running=1)
    names = fill(world, 5, limits=LIMITS)
    world.claim()
    assert world.claim() == ()
    mark = world.storage.mark(Topic.READY)
    world.limit(gate, max_running=3)
    assert world.storage.mark(Topic.READY) > mark
    assert ids(world.claim()) == names[1:3]
    world.limit(gate, max_running=None)
    assert ids(world.claim()) == names[3:]


def test_a_lowered_limit_lets_what_runs_run(world: World, gate: str) -> None:
    world.limit(gate, max_running=3)
    fill(world, 6, limits=LIMITS)
    running = world.claim()
    world.limit(gate, max_running=1)
    world.end(running[0])
    world.end(running[1])
    assert world.claim() == ()
    world.end(running[2])
    assert len(world.claim()) == 1


def test_a_new_limit_counts_what_runs_already(world: World, gate: str) -> None:
    fill(world, 4, limits=LIMITS)
    first = world.claim(2)
    world.limit(gate, max_running=2)
    assert world.gates()[gate] == 2
    assert world.claim() == ()
    world.end(first[0])
    assert world.gates()[gate] == 1
    assert len(world.claim()) == 1


def test_a_deleted_limit_frees_all(world: World, gate: str) -> None:
    world.limit(gate, max_running=1)
    names = fill(world, 4, limits=LIMITS)
    world.claim()
    world.claim()
    assert world.run(world.storage.delete_limits([gate, gate, "limit:none"], now=world.now)) == (True, False, False)
    assert ids(world.claim()) == names[1:]


def test_what_an_operator_set_stands_over_what_is_declared(world: World, gate: str) -> None:
    world.declare(gate, max_running=1, rate="5/s")
    world.limit(gate, max_running=2, by="ada", reason="sale")
    world.declare(gate, max_running=3, rate="5/s")
    (row,) = world.run(world.storage.list_limits())
    assert row.declared == {"max_running": 3, "rate": "5/s"}
    assert row.override == {"max_running": 2, "by": "ada", "reason": "sale", "at": world.now.wall}
    fill(world, 5, limits=LIMITS)
    assert len(world.claim()) == 2
    assert world.run(world.storage.delete_limits([gate], now=world.now)) == (True,)
    assert len(world.claim()) == 1


def test_a_rate_lets_so_many_begin(world: World, gate: str) -> None:
    world.limit(gate, rate="3/m")
    names = fill(world, 8, limits=LIMITS)
    assert ids(world.claim()) == names[:3]
    assert world.claim() == ()
    relieved = world.run(world.storage.relieve(now=world.now))
    assert relieved.count == 0
    assert relieved.next_at is not None
    assert 0 < relieved.next_at - world.now.wall <= MINUTE + MINUTE // 50
    world.clock.advance(relieved.next_at - world.now.wall - 1)
    assert world.run(world.storage.relieve(now=world.now)).count == 0
    assert world.claim() == ()
    world.clock.advance(1)
    mark = world.storage.mark(Topic.READY)
    world.run(world.storage.relieve(now=world.now))
    assert world.storage.mark(Topic.READY) > mark
    assert ids(world.claim()) == names[3:6]


def test_what_was_released_does_not_count_for_the_rate(world: World, gate: str) -> None:
    world.limit(gate, rate="2/m")
    names = fill(world, 4, limits=LIMITS)
    first, second = world.claim()
    world.end(first, Released())
    world.end(second)
    assert ids(world.claim()) == names[:1]
    assert world.claim() == ()


def test_a_paused_queue_gives_nothing_and_lets_what_runs_run(world: World) -> None:
    names = fill(world, 3)
    (task,) = world.claim(1)
    world.limit("queue:default", paused=True, reason="deploy")
    world.submit(new("z", queue="other"))
    assert ids(world.claim()) == ["z"]
    assert world.claim(queues=("default",)) == ()
    assert world.end(task)
    mark = world.storage.mark(Topic.READY)
    world.limit("queue:default", paused=None)
    assert world.storage.mark(Topic.READY) > mark
    assert ids(world.claim()) == names[1:]


def test_a_full_queue_leaves_its_share_to_others(world: World) -> None:
    world.limit("queue:default", max_running=1)
    fill(world, 5)
    world.submit(*(new(f"z{n}", queue="other") for n in range(5)))
    assert ids(world.claim(4, turn=0)) == ["t00", "z0", "z1", "z2"]


def test_lapsed_ones_take_no_place(world: World, gate: str) -> None:
    world.limit(gate, max_running=1)
    world.submit(new("a", expires_at=START - 1, limits=LIMITS), new("b", limits=LIMITS), new("c", limits=LIMITS))
    assert ids(world.claim(2)) == ["b"]
    assert world.get("a").state is State.CANCELLED
    assert world.gates()[gate] == 1


def test_a_held_task_can_be_cancelled(world: World) -> None:
    world.limit("limit:a", max_running=0)
    world.submit(new("1", limits=("a",)))
    assert world.claim() == ()
    assert world.get("1").held == "limit:a"
    assert world.cancel("1") == ("cancelled",)
    assert world.get("1").held is None
    assert world.run(world.storage.count_held()) == {}


def test_many_held_ones_are_passed_over_once(world: World) -> None:
    world.limit("limit:a", max_running=1)
    world.submit(*(new(f"a{n:04}", limits=("a",)) for n in range(700)), *(new(f"b{n}", run_at=START) for n in range(3)))
    assert ids(world.claim(3)) == ["a0000", "b0", "b1"]
    assert len(world.found(held=True)) == 699
    assert ids(world.claim(3)) == ["b2"]


def test_a_queue_can_age_faster(world: World) -> None:
    world.limit("queue:default", ageing=SECOND)
    world.submit(new("old", priority=0), new("new", priority=5, run_at=START + 10 * SECOND))
    world.clock.advance(10 * SECOND)
    world.run(world.storage.promote_due(now=world.now))
    assert ids(world.claim(1)) == ["old"]


def test_no_store_without_limits_has_gates(world: World) -> None:
    fill(world, 3)
    world.claim()
    assert world.run(world.storage.list_limits()) == ()
    assert world.run(world.storage.relieve(now=world.now)).next_at is None


def test_limits_of_a_task_are_kept(world: World) -> None:
    world.submit(new("1", limits=("a", "per/b c")))
    assert world.get("1").spec.extras.limits == ("a", "per/b c")


def test_a_check_finds_nothing_wrong_with_what_runs_at_gates(world: World, gate: str) -> None:
    check = getattr(world.storage, "check", None)
    if check is None:
        pytest.skip("memory has nothing to check")
    world.limit(gate, max_running=2, rate="9/s")
    fill(world, 4, limits=LIMITS)
    first, second = world.claim()
    world.end(first, Released())
    assert world.run(check()).ok
    world.end(second)
    assert world.run(check()).ok
