"""Runs of schedules: who waits for whom, who goes on when one ends, and what an end means for the schedule."""

from __future__ import annotations

import pytest

from angelica.clock import SECOND
from angelica.domain.outcome import Failed, LeaseExpired, Snoozed, Succeeded
from angelica.domain.schedule import Fire, FireRecord, Overlap, Phase, RunSpec, TriggerSpec, Unfinished
from angelica.domain.task import Policy, Task, TaskError
from angelica.storage.protocol import Claim, Topic
from tests.storage.timetable import PERIOD, Timetable, a_fire, firing, run_of, schedule
from tests.storage.world import START, World, new

BAD = Failed(TaskError("exception"), final=True)


@pytest.fixture
def table(world: World) -> Timetable:
    return Timetable(world)


@pytest.fixture
def chain(world: World, table: Timetable) -> dict[str, Task]:
    """Run `a` has been claimed; `b` waits for it, `c` for `b`, `d` for `c`."""
    table.put(schedule())
    fires = [a_fire("s", "a", 0), a_fire("s", "b", 1, "a"), a_fire("s", "c", 2, "b"), a_fire("s", "d", 3, "c")]
    table.fire(firing(table.get(), *fires))
    return table.claim_all()


def test_waiting_runs_are_not_claimed(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    assert list(chain) == ["a"]
    assert table.unfinished() == Unfinished(("a",), ("b", "c", "d"))
    assert world.counts() == {("default", "running"): 1, ("default", "waiting"): 3}
    assert world.found(states=frozenset({"waiting"})) == ["b", "c", "d"]


def test_the_next_goes_on_when_one_ends(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    before = world.storage.mark(Topic.READY)
    world.end(chain["a"])
    assert table.states("a", "b", "c", "d") == ["succeeded", "queued", "waiting", "waiting"]
    assert world.storage.mark(Topic.READY) > before
    assert table.unfinished() == Unfinished(("b",), ("c", "d"))
    assert world.counts() == {("default", "succeeded"): 1, ("default", "queued"): 1, ("default", "waiting"): 2}
    world.end(table.claim_all()["b"], BAD)
    assert table.states("b", "c", "d") == ["failed", "queued", "waiting"]


def test_one_exchange_ends_a_run_and_claims_the_next(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    claimed = []
    task = chain["a"]
    for _ in range(3):
        reply = world.exchange([world.completion(task)], Claim("w1", 5, (("async", 5),)))
        (task,) = reply.claimed
        claimed.append(task.id)
    assert claimed == ["b", "c", "d"]


def test_a_retry_is_no_end(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    world.end(chain["a"], Snoozed(START + SECOND))
    assert table.states("a", "b") == ["scheduled", "waiting"]
    assert table.unfinished() == Unfinished(("a",), ("b", "c", "d"))


def test_a_cancelled_link_does_not_let_the_next_pass(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    assert world.cancel("b", "c") == ("cancelled", "cancelled")
    assert table.states("d") == ["waiting"]
    world.end(chain["a"])
    assert table.states("d") == ["queued"]


def test_two_that_wait_for_the_same_go_on_one_after_the_other(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0), a_fire("s", "b", 1, "a"), a_fire("s", "c", 2, "a")))
    world.end(table.claim_all()["a"])
    assert table.states("b", "c") == ["queued", "waiting"]
    world.end(table.claim_all()["b"])
    assert table.states("c") == ["queued"]


def test_a_run_by_hand_is_waited_for_too(world: World, table: Timetable, chain: dict[str, Task]) -> None:
    table.record((FireRecord("s", START + 1, "manual", "m"), run_of("s", "m")))
    assert table.states("m") == ["queued"], "trigger-now ignores overlap"
    world.end(chain["a"])
    assert table.states("b") == ["waiting"]
    world.end(table.claim_all()["m"])
    assert table.states("b", "c") == ["queued", "waiting"]


def test_who_would_wait_for_an_ended_run_waits_for_what_is_left(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0), a_fire("s", "b", 1, "a")))
    started = table.claim_all()["a"]
    world.cancel("b")
    table.fire(firing(table.get(), a_fire("s", "c", 2, "b")))
    assert table.states("c") == ["waiting"]
    world.end(started)
    assert table.states("c") == ["queued"]
    world.end(table.claim_all()["c"])
    table.fire(firing(table.get(), a_fire("s", "d", 3, "c"), a_fire("s", "e", 4, "d")))
    assert table.states("d", "e") == ["queued", "waiting"]


def test_backfilled_runs_wait_for_one_another(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "x", 1)))
    records = [FireRecord("s", START + n * PERIOD, "backfill", name) for n, name in enumerate("abc")]
    runs = [(record, run_of("s", record.task_id or "")) for record in records]
    assert table.record(*runs, after=[None, "a", "b"]) == (True, False, True)
    assert table.unfinished() == Unfinished(("x", "a"), ("c",))
    world.end(table.claim_all()["a"])
    assert table.states("c") == ["waiting"], "b was refused; what c may not overtake is x"


def test_a_freed_run_waits_for_its_time(world: World, table: Timetable) -> None:
    table.put(schedule())
    later = Fire(START + PERIOD, run_of("s", "b", run_at=START + SECOND), "a")
    table.fire(firing(table.get(), a_fire("s", "a", 0), later))
    before = world.storage.mark(Topic.DUE)
    world.end(table.claim_all()["a"])
    assert table.states("b") == ["scheduled"]
    assert world.storage.mark(Topic.DUE) > before


def test_however_a_run_ends_the_next_goes_on(world: World, table: Timetable) -> None:
    table.put(schedule(run=RunSpec("f", policy=Policy(retries=0, max_crashes=0))))

    def pair(first: str, second: str, **parts: object) -> None:
        minute = table.get().runs
        fires = Fire(START + minute * PERIOD, run_of("s", first, **parts)), a_fire("s", second, minute + 1, first)
        assert table.fire(firing(table.get(), *fires)) == (True,)
        assert table.states(second) == ["waiting"]

    pair("expires", "b", expires_at=START)
    assert world.claim() == ()
    assert table.states("expires", "b") == ["cancelled", "queued"]
    world.end(table.claim_all()["b"])

    pair("dies", "d", policy=Policy(max_crashes=0))
    dies = table.claim_all()["dies"]
    world.end(dies, LeaseExpired("w1"), expired_by=world.now.tick)
    assert table.states("dies", "d") == ["failed", "queued"]
    world.end(table.claim_all()["d"])

    pair("stops", "f")
    stops = table.claim_all()["stops"]
    world.cancel("stops")
    assert table.states("f") == ["waiting"]
    world.end(stops, Snoozed(START + SECOND))
    assert table.states("stops", "f") == ["cancelled", "queued"]


def test_any_task_of_a_schedule_is_a_run_of_it(world: World, table: Timetable) -> None:
    table.put(schedule(pause_after_failures=1))
    world.submit(run_of("s", "a"), new("plain"))
    assert table.unfinished().running == ("a",)
    world.end(table.claim_all()["a"], BAD)
    assert table.unfinished().count == 0
    assert table.get().phase is Phase.PAUSED


def test_a_batch_that_is_taken_back_leaves_no_run(world: World, table: Timetable) -> None:
    world.submit(new("taken", digest="1"))
    world.submit(run_of("s", "a"), new("taken", digest="2"), atomic=True)
    assert table.unfinished().count == 0


def test_failures_in_a_row_pause_a_schedule(world: World, table: Timetable) -> None:
    table.put(schedule(pause_after_failures=2))
    fires = [a_fire("s", name, minute) for minute, name in enumerate("abcde")]
    table.fire(firing(table.get(), *fires))
    runs = table.claim_all()
    world.clock.advance(5)
    world.end(runs["a"], BAD)
    assert table.get().streak == 1
    world.end(runs["b"], Succeeded())
    assert table.get().streak == 0
    world.cancel("c")
    world.end(runs["c"], BAD)
    assert (table.get().streak, world.get("c").state) == (1, "failed"), "an end wins over a cancel"
    before = world.storage.mark(Topic.SCHEDULES)
    world.exchange([world.completion(runs["d"], BAD), world.completion(runs["e"])])
    standing = table.get()
    assert (standing.phase, standing.paused_at, standing.streak) == (Phase.PAUSED, START + 5, 0)
    assert world.storage.mark(Topic.SCHEDULES) > before
    assert table.due() == ()


def test_a_plain_success_changes_no_schedule_and_rings_nobody(world: World, table: Timetable) -> None:
    table.put(schedule())
    table.fire(firing(table.get(), a_fire("s", "a", 0)))
    standing, before = table.get(), world.storage.mark(Topic.SCHEDULES)
    world.end(table.claim_all()["a"])
    assert (table.get(), world.storage.mark(Topic.SCHEDULES)) == (standing, before)


def test_a_delay_schedule_counts_from_the_end_of_its_run(world: World, table: Timetable) -> None:
    table.put(schedule(trigger=TriggerSpec(every=PERIOD, mode="delay"), overlap=Overlap.SKIP))
    (done,) = table.tick()
    assert (table.get().next_fire_at, world.run(world.storage.next_fire())) == (None, None)
    world.clock.advance(7 * SECOND)
    task = table.claim_all()[done.fires[0].task.id]
    table.record((FireRecord("s", START + 1, "manual", "m"), run_of("s", "m")))
    world.end(task)
    assert table.get().next_fire_at is None, "a run is left"
    before = world.storage.mark(Topic.SCHEDULES)
    world.cancel("m")
    assert table.get().next_fire_at == START + 7 * SECOND + PERIOD
    assert world.run(world.storage.next_fire()) == START + 7 * SECOND + PERIOD
    assert world.storage.mark(Topic.SCHEDULES) > before


def test_due_schedules_come_with_the_runs_that_their_policy_looks_at(world: World, table: Timetable) -> None:
    rules = {
        "any": {"overlap": Overlap.ALLOW},
        "few": {"overlap": Overlap.ALLOW, "max_running": 2},
        "many": {"overlap": Overlap.ALLOW, "max_running": 5_000},
        "one": {"overlap": Overlap.SKIP},
    }
    table.put(*[schedule(name, **parts) for name, parts in rules.items()])
    for name in rules:
        world.submit(*[run_of(name, f"{name}-{n}") for n in range(1_003)])
    seen = {due.schedule.id: due.unfinished.running for due in table.due()}
    assert {name: len(runs) for name, runs in seen.items()} == {"any": 0, "few": 1_001, "many": 1_003, "one": 1_001}
    assert seen["one"] == tuple(f"one-{n}" for n in range(2, 1_003))
    assert table.unfinished("any").count == 1_003


def test_a_due_schedule_says_which_runs_wait(table: Timetable, chain: dict[str, Task]) -> None:
    table.put(schedule(overlap=Overlap.QUEUE_ALL))
    (due,) = table.due()
    assert due.unfinished == table.unfinished() == Unfinished(("a",), ("b", "c", "d"))
