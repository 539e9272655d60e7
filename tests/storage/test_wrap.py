"""The wrappers: what is repeated, how often, what it answers then, and what is observed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from angelica.clock import SECOND, ManualClock
from angelica.domain.lifecycle import complete
from angelica.domain.outcome import Failed, Released, Snoozed, Succeeded
from angelica.domain.schedule import FireRecord
from angelica.domain.task import Lease, State, Task, TaskError, Unique
from angelica.errors import IdempotencyMismatch, StorageUnavailable
from angelica.storage.memory import MemoryStorage
from angelica.storage.protocol import Beat, Claim, Note, Request, SchedulePut, Storage, Topic
from angelica.storage.wrap import Observed, Retrying, Wrapping
from tests.storage.adapters import ADAPTERS
from tests.storage.faulty import Fault, FaultyStorage
from tests.storage.timetable import PERIOD, Timetable, a_fire, firing, run_of, schedule
from tests.storage.world import LEASE, START, World, ids, line, new, worker_info


class Sleeps:
    """A sleep that only takes notes."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def retrying(inner: Storage, sleep: Sleeps | None = None, *, tries: int = 6) -> Retrying:
    return Retrying(inner, chance=lambda: 0.5, sleep=sleep or Sleeps(), tries=tries)


def faulty_world(faults: dict[int, Fault]) -> tuple[World, FaultyStorage]:
    clock = ManualClock()
    faulty = FaultyStorage(MemoryStorage(clock), faults)
    return World(retrying(faulty), clock), faulty


def test_a_call_is_repeated_until_it_works() -> None:
    clock = ManualClock()
    sleep = Sleeps()
    faulty = FaultyStorage(MemoryStorage(clock), {1: "before", 2: "before", 3: "before"})
    with World(retrying(faulty, sleep), clock) as world:
        world.submit(new("a"))
        assert faulty.calls == 4
        # Half of 0.05, 0.1 and 0.2 seconds: full jitter at a chance of one half.
        assert sleep.seconds == [0.025, 0.05, 0.1]


def test_tries_are_bounded() -> None:
    clock = ManualClock()
    faulty = FaultyStorage(MemoryStorage(clock), dict.fromkeys(range(1, 10), "before"))
    with World(retrying(faulty, tries=3), clock) as world, pytest.raises(StorageUnavailable):
        world.submit(new("a"))
    assert faulty.calls == 3


def test_a_refusal_is_not_repeated() -> None:
    world, faulty = faulty_world({})
    with world:
        request = Request("me", "key", "route", "one", START + SECOND)
        world.submit(new("a"), request=request)
        with pytest.raises(IdempotencyMismatch):
            world.submit(new("b"), request=Request("me", "key", "route", "two", START + SECOND))
        assert faulty.calls == 2


def test_open_status_and_wait_are_not_repeated() -> None:
    class Down(Wrapping):
        calls = 0

        async def _call(self, verb, call):
            self.calls += 1
            raise StorageUnavailable(verb)

    down = Down(MemoryStorage(ManualClock()))
    storage = retrying(down)
    for call in (storage.open, storage.status, lambda: storage.wait(Topic.READY, 0, 1.0)):
        with pytest.raises(StorageUnavailable):
            asyncio.run(call())
    assert down.calls == 3


def test_a_submit_whose_reply_was_lost_is_answered_as_created() -> None:
    world, _ = faulty_world({2: "after"})
    with world:
        world.submit(new("old", digest="d"))
        items = world.submit(new("a"), new("a"), new("old", digest="d"), new("u", unique=Unique("k"))).items
        assert [item.status for item in items] == ["created", "existing", "existing", "created"]
        assert world.found() == ["a", "old", "u"]


def test_ends_whose_reply_was_lost_are_answered_as_accepted() -> None:
    world, faulty = faulty_world({})
    with world:
        world.submit(*[new(name) for name in ("done", "again", "later", "cancelled", "stale")])
        again, cancelled, done, later, stale = sorted(world.claim(), key=lambda task: task.id)
        world.cancel("cancelled")
        world.end(stale, Released())
        ends = [
            world.completion(done, Succeeded("1")),
            world.completion(again, Released()),
            world.completion(later, Failed(TaskError("exception"), retry_after=SECOND)),
            world.completion(cancelled, Snoozed(START + SECOND)),
            world.completion(stale, Succeeded()),
            world.completion(done, Succeeded("2")),
            world.completion(done, Succeeded("1")),
        ]
        faulty.faults[faulty.calls + 1] = "after"
        assert world.exchange(ends).accepted == (True, True, True, True, False, False, False)
        assert world.get("done").result == "1"
        assert [row.outcome for row in world.run(world.storage.read_attempts("again"))] == ["released"]


def test_a_claim_whose_reply_was_lost_comes_back_as_strays() -> None:
    world, _ = faulty_world({2: "after"})
    with world:
        world.submit(new("a"), new("b"))
        claimed = world.claim(1)
        assert ids(claimed) == ["b"]
        assert ids(world.beat(held=[claimed[0].lease]).strays) == ["a"]


def test_a_cancel_whose_reply_was_lost_is_answered_as_it_was() -> None:
    world, faulty = faulty_world({})
    with world:
        world.end(world.start("ended"))
        world.start("running")
        world.submit(new("queued"))
        faulty.faults[faulty.calls + 1] = "after"
        assert world.cancel("queued", "ended", "running", "none", "queued") == (
            "cancelled",
            "finished",
            "requested",
            "missing",
            "finished",
        )


def test_a_delete_whose_reply_was_lost_is_answered_as_done() -> None:
    world, faulty = faulty_world({})
    with world:
        world.end(world.start("a"))
        world.submit(new("b"))
        faulty.faults[faulty.calls + 1] = "after"
        assert world.run(world.storage.delete_tasks(["a", "b"])) == (True, False)


def test_schedules_whose_replies_were_lost_are_answered_as_written() -> None:
    world, faulty = faulty_world({})
    with world:
        table = Timetable(world)

        def lost() -> None:
            faulty.faults[faulty.calls + 1] = "after"

        lost()
        assert table.put(SchedulePut(schedule(), "new"), SchedulePut(schedule("t"), 1)) == ("created", "missing")
        assert table.put(SchedulePut(schedule(grace=0), "new")) == ("exists",)
        lost()
        assert table.put(SchedulePut(schedule(version=2), 1)) == ("updated",)
        assert table.put(SchedulePut(schedule(grace=0, version=2), 1)) == ("stale",)
        decided = firing(table.get(), a_fire("s", "a", 0), next_fire_at=START + PERIOD)
        stale = replace(decided, seen_version=1)
        lost()
        assert table.fire(stale, decided) == (False, True)
        lost()
        assert table.record((FireRecord("s", START + 1, "manual", "m"), run_of("s", "m"))) == (True,)
        assert table.unfinished().running == ("a", "m")
        lost()
        assert table.delete("s", "s") == (True, False)


def test_every_call_is_observed_once() -> None:
    seen: list[tuple[str, float, BaseException | None]] = []
    clock = ManualClock()
    faulty = FaultyStorage(MemoryStorage(clock), {2: "before"})
    observed = Observed(faulty, lambda verb, seconds, error: seen.append((verb, seconds, error)))
    with World(observed, clock) as world:
        world.submit(new("a"))
        with pytest.raises(StorageUnavailable):
            world.claim()
        mark = world.storage.mark(Topic.READY)
        world.run(world.storage.wait(Topic.READY, mark - 1, 1.0))
    assert [verb for verb, _, _ in seen] == ["open", "enqueue_many", "exchange", "close"]
    assert [type(error) for _, _, error in seen] == [type(None), type(None), StorageUnavailable, type(None)]
    assert all(0 <= seconds < 60 for _, seconds, _ in seen)


# A scripted life of tasks, with a fault at each call in turn.


class Life:
    """A small worker that lives through everything: what it did must not depend on which call failed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: list[str] = []
        self.refused: list[str] = []
        self.statuses: list[str] = []
        self.held: dict[Lease, Task] = {}

    def live(self) -> None:
        world = self.world
        tasks = [
            new("done"),
            new("fails-once"),
            new("later", run_at=START + SECOND),
            new("unique", unique=Unique("k")),
            new("unknown"),
            new("stopped"),
            new("never", priority=-9),
        ]
        self.statuses += [item.status for item in world.submit(*tasks).items]
        self.statuses += world.cancel("never", reason="enough")
        self.beat(())
        for _ in range(12):
            world.clock.advance(SECOND)
            world.run(world.storage.promote_due(now=world.now))
            self.step()
            self.beat(("fails-once", "f"))
        world.clock.advance(LEASE)
        assert world.expired() == []
        self.statuses += [str(done) for done in world.run(world.storage.delete_tasks(["never"]))]

    def step(self) -> None:
        world = self.world
        now = world.now
        ends, journal = [], []
        for task in self.held.values():
            self.runs.append(task.id)
            journal.append(line(task, 1, f"run {self.runs.count(task.id)}"))
            world.run(world.storage.append_logs([line(task, 2)]))
            world.run(world.storage.annotate([Note(task.id, task.attempt, checkpoint=str(task.attempt))]))
            ends.append(complete(task, self.outcome(task), now=now, chance=0.0, started_at=now.wall))
        claim = Claim("w1", 2, (("async", 2),), functions=("fails-once", "f"))
        reply = world.run(world.storage.exchange(ends, claim, now=now, journal=journal))
        self.refused += [end.task_id for end, ok in zip(ends, reply.accepted, strict=True) if not ok]
        self.held = {task.lease: task for task in reply.claimed}

    def outcome(self, task: Task):
        if task.id == "fails-once" and self.runs.count(task.id) == 1:
            return Failed(TaskError("exception"), retry_after=SECOND)
        if task.id == "unknown" and self.runs.count(task.id) == 1:
            return Released(held="unknown_function")
        if task.id == "stopped":
            self.statuses += self.world.cancel("stopped", reason="enough")
            return Snoozed(START + 100 * SECOND)
        return Succeeded(f'"{task.id}"')

    def beat(self, functions: tuple[str, ...]) -> None:
        world = self.world
        now = world.now
        started = tuple((task.id, task.attempt, now.wall) for task in self.held.values())
        beat = Beat(worker_info("w1", functions=functions), now.tick + LEASE, now.wall, tuple(self.held), started)
        reply = world.run(world.storage.heartbeat(beat, now=now))
        assert reply.lost == ()
        strays = [complete(task, Released(), now=now, chance=0.0) for task in reply.strays]
        if strays:
            assert all(world.exchange(strays).accepted)

    def outcome_of_all(self) -> dict[str, object]:
        """What must be the same whatever failed: attempt numbers are not, since a lost claim spends one."""
        world = self.world
        tasks = {name: world.get(name) for name in world.found()}
        return {
            "runs": sorted(self.runs),
            "refused": self.refused,
            "statuses": sorted(self.statuses),
            "counts": world.counts(),
            "tasks": {
                name: (task.state, task.failures, task.crashes, task.result, task.error and task.error.reason)
                for name, task in tasks.items()
            },
            "history": {
                name: [row.outcome for row in world.run(world.storage.read_attempts(name)) if row.outcome != "released"]
                for name in tasks
            },
            "logs": {name: [row.message for row in world.run(world.storage.read_logs(name))] for name in tasks},
        }


def life(adapter: str, directory: Path, faults: dict[int, Fault]) -> tuple[dict[str, object], int]:
    clock = ManualClock()
    directory.mkdir()
    faulty = FaultyStorage(ADAPTERS[adapter](directory, clock), faults)
    with World(retrying(faulty), clock) as world:
        story = Life(world)
        story.live()
        calls = faulty.calls
        return story.outcome_of_all(), calls


@pytest.mark.parametrize("fault", ["before", "after", "slow"])
@pytest.mark.parametrize("adapter", list(ADAPTERS))
def test_a_fault_at_any_call_loses_and_doubles_nothing(adapter: str, fault: Fault, tmp_path: Path) -> None:
    expected, calls = life(adapter, tmp_path / "0", {})
    assert expected["counts"] == {("default", "succeeded"): 5, ("default", "cancelled"): 1}
    assert expected["refused"] == []
    for number in range(1, calls + 1):
        found, _ = life(adapter, tmp_path / str(number), {number: fault})
        assert found == expected, f"a fault {fault} at call {number}"


def test_two_faults_in_a_row_lose_and_double_nothing(tmp_path: Path) -> None:
    expected, calls = life("memory", tmp_path / "0", {})
    for number in range(1, calls + 1):
        for pair in ({number: "after", number + 1: "after"}, {number: "before", number + 1: "after"}):
            found, _ = life("memory", tmp_path / f"{number}{''.join(pair.values())}", pair)
            assert found == expected, f"faults {pair}"


def test_the_states_of_the_scripted_life(tmp_path: Path) -> None:
    found, _ = life("memory", tmp_path / "0", {})
    tasks = found["tasks"]
    assert isinstance(tasks, dict)
    assert tasks["stopped"][0] is State.CANCELLED
    assert tasks["fails-once"] == (State.SUCCEEDED, 1, 0, '"fails-once"', None)
