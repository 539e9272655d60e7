"""Fair queues: tenants take turns, whoever came first, and what they run counts against them."""

from __future__ import annotations

from angelica.clock import DAY, MINUTE, SECOND
from angelica.domain.outcome import Released
from angelica.domain.task import Policy, Task
from tests.storage.world import START, World, ids, new


def fair(world: World, queue: str = "default", **more: object) -> None:
    world.limit(f"queue:{queue}", fair="tenant", **more)


def fill(world: World, tenant: str, count: int, **parts: object) -> list[str]:
    names = [f"{tenant}{place:02}" for place in range(count)]
    world.submit(*(new(name, headers={"tenant": tenant}, **parts) for name in names))
    return names


def test_a_plain_queue_is_in_order(world: World) -> None:
    fill(world, "a", 3)
    fill(world, "b", 1)
    assert ids(world.claim(3)) == ["a00", "a01", "a02"]
    assert world.gates() == {}


def test_tenants_take_turns(world: World) -> None:
    fair(world)
    fill(world, "a", 9)
    fill(world, "b", 2)
    fill(world, "c", 1)
    assert sorted(ids(world.claim(6))) == ["a00", "a01", "a02", "b00", "b01", "c00"]


def test_what_waited_before_a_queue_was_fair_is_shared_too(world: World) -> None:
    fill(world, "a", 5)
    fill(world, "b", 1)
    fair(world)
    assert sorted(ids(world.claim(2))) == ["a00", "b00"]


def test_who_has_the_fewest_running_is_first(world: World) -> None:
    fair(world)
    fill(world, "a", 9)
    running = world.claim(3)
    fill(world, "b", 4)
    assert ids(world.claim(3)) == ["b00", "b01", "b02"]
    for task in running:
        world.end(task)
    assert ids(world.claim(3)) == ["a03", "a04", "a05"]
    assert world.gates() == {"queue:default": 0, "tenant:default/a": 3, "tenant:default/b": 3}


def test_ties_go_to_the_one_that_was_served_the_longest_ago(world: World) -> None:
    fair(world)
    for tenant in "cab":
        fill(world, tenant, 9)
    order = []
    for _ in range(7):
        (task,) = world.claim(1)
        order.append(task.id[0])
        world.clock.advance(SECOND)
        world.end(task)
    assert order == list("abcabca")


def test_one_that_had_little_of_late_is_before_one_that_had_much_each_time(world: World) -> None:
    fair(world)
    fill(world, "f", 40)
    for _ in range(20):
        (task,) = world.claim(1)
        world.clock.advance(SECOND // 20)
        world.end(task)
    fill(world, "a", 3)
    fill(world, "b", 1)
    order = []
    for _ in range(6):
        (task,) = world.claim(1)
        order.append(task.id)
        world.clock.advance(SECOND // 20)
        world.end(task)
    assert order == ["a00", "b00", "a01", "a02", "f20", "f21"]


def test_all_that_one_claim_takes_of_a_tenant_was_had(world: World) -> None:
    fair(world)
    fill(world, "a", 9)
    for task in world.claim(3):
        world.end(task)
    fill(world, "b", 9)
    world.clock.advance(1)
    order = []
    for _ in range(5):
        (task,) = world.claim(1)
        order.append(task.id[0])
        world.end(task)
    assert order == list("bbbab")


def test_inside_a_tenant_it_is_the_usual_order(world: World) -> None:
    fair(world)
    world.submit(
        new("z", headers={"tenant": "a"}, run_at=START - MINUTE),
        new("y", headers={"tenant": "a"}, priority=5),
        new("x", headers={"tenant": "a"}),
        new("w", headers={"tenant": "b"}),
    )
    assert [task.id for task in world.claim(9) if task.id != "w"] == ["y", "z", "x"]


def test_those_without_a_tenant_are_one(world: World) -> None:
    fair(world)
    world.submit(*(new(f"n{place}") for place in range(5)))
    fill(world, "a", 5)
    claimed = world.claim(4)
    assert sorted(ids(claimed)) == ["a00", "a01", "n0", "n1"]
    assert {task.spec.executor for task in claimed} == {"async"}
    assert world.get("n0").spec.executor == world.get("n4").spec.executor == "async"


def test_strange_names_are_tenants_too(world: World) -> None:
    fair(world)
    names = ["", "a;b", "a!b", "a~b", "a,b=c", "ü", "x" * 3000, "/", "%", "<"]
    for place, name in enumerate(names):
        world.submit(*(new(f"{place}-{n}", headers={"tenant": name}) for n in range(3)))
    assert sorted(ids(world.claim(len(names)))) == [f"{place}-0" for place in range(len(names))]
    assert world.get("1-0").spec.executor == "async"


def test_a_task_that_comes_back_is_its_tenants(world: World) -> None:
    fair(world)
    fill(world, "a", 1, policy=Policy(retries=3))
    (task,) = world.claim()
    world.end(task, Released())
    fill(world, "b", 2)
    assert sorted(ids(world.claim(2))) == ["a00", "b00"]


def test_labels_and_limits_hold_beside_it(world: World) -> None:
    fair(world, max_running=3)
    fill(world, "a", 5, requires={"gpu": "true"})
    fill(world, "b", 5)
    fill(world, "c", 5, limits=("one",))
    world.limit("limit:one", max_running=1)
    assert sorted(ids(world.claim(9))) == ["b00", "b01", "c00"]
    world.limit("queue:default", max_running=None)
    world.clock.advance(SECOND)
    assert sorted(ids(world.claim(3, labels={"gpu": "true"}))) == ["a00", "a01", "b02"]
    assert world.get("c01").held == "limit:one"


def test_a_queue_that_is_fair_no_more_is_drained(world: World) -> None:
    fair(world)
    fill(world, "a", 4)
    fill(world, "b", 4)
    world.claim(2)
    world.limit("queue:default", fair=None)
    fill(world, "c", 1)
    assert len(world.claim(9)) == 7


def test_an_operator_has_nobody_share_what_the_code_declares_as_shared(world: World) -> None:
    world.declare("queue:default", fair="tenant")
    fill(world, "a", 2)
    world.clock.advance(1)
    fill(world, "b", 2)
    assert ids(world.claim(2)) == ["a00", "b00"]
    world.limit("queue:default", fair="")
    world.submit(*(new(f"c{place}", queue="other", headers={"tenant": str(place)}) for place in range(2)))
    world.declare("queue:other", fair="tenant")
    world.limit("queue:other", fair="")
    assert len(world.claim(9)) == 4
    assert not [gate for gate in world.gates() if gate.startswith("tenant:other")]
    world.limit("queue:other", fair=None)
    world.submit(new("c9", queue="other", headers={"tenant": "9"}))
    assert ids(world.claim(9)) == ["c9"]
    assert world.gates()["tenant:other/9"] == 1


def served(world: World, *names: str) -> None:
    """Have a task of each of the tenants run, by the name that it then has."""
    world.submit(*(new(name, headers={"tenant": name[0]}) for name in names))
    for task in world.claim():
        world.end(task)


def next_of(world: World, *names: str) -> str:
    """Submit a task of each of the tenants; return the one whose turn it is."""
    world.submit(*(new(name, headers={"tenant": name[0]}) for name in names))
    (task,) = world.claim(1)
    return task.id


def test_who_was_served_a_day_ago_is_as_one_that_never_was(world: World) -> None:
    fair(world)
    served(world, "a0")
    world.clock.advance(DAY - 1)
    world.run(world.storage.prune(now=world.now))
    assert next_of(world, "a1", "b1") == "b1"
    world.end(world.get("b1"))
    served(world)
    world.clock.advance(DAY)
    world.run(world.storage.prune(now=world.now))
    assert next_of(world, "a2", "c2") == "a2"


def test_a_prune_looks_at_so_many_tenants_and_the_next_one_goes_on(world: World) -> None:
    fair(world)
    served(world, "a0", "b0", "c0")
    world.clock.advance(2 * DAY)
    world.run(world.storage.prune(now=world.now, limit=2))
    assert next_of(world, "c1", "d1") == "d1"  # c was not among them
    world.run(world.storage.prune(now=world.now, limit=2))
    assert next_of(world, "e2") == "c1"


def test_a_flood_does_not_hold_up_the_others(world: World) -> None:
    fair(world)
    world.submit(*(new(f"f{place:04}", headers={"tenant": "flood"}) for place in range(6_000)))
    running: list[Task] = list(world.claim(4))
    fill(world, "a", 1)
    for task in running:
        world.end(task)
        world.clock.advance(SECOND)
    assert "a00" in ids(world.claim(2))
